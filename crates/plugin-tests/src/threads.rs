//! The same work with few and with many threads.

use rayon::ThreadPoolBuilder;

use crate::fault::{Checked, wrong};

/// What `work` gives with `n` threads.
pub(crate) fn with_threads<T: Send>(n: usize, work: impl FnOnce() -> T + Send) -> Checked<T> {
    let pool = ThreadPoolBuilder::new().num_threads(n).build();
    let pool = pool.map_err(|error| wrong!("{n} threads cannot be started to test it: {error}"))?;
    Ok(pool.install(work))
}
