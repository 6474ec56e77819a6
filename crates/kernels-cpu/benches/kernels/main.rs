//! Does a change of a kernel make it faster? `cargo bench -p kernels-cpu`.
//!
//! Criterion keeps the last run and says what has changed since, with its uncertainty; `-- --save-baseline NAME` keeps one
//! by name, `-- PATTERN` chooses. A few shapes stand for all; `cargo xtask bench ops` has all of them, and says how far
//! they are from what the machine can do.

mod contrast;
mod convolution;
mod norm;
mod operands;
mod pool;
mod tokens;

use std::time::Duration;

use criterion::Criterion;

/// As in the command line: big freed buffers stay for the next run.
#[global_allocator]
static ALLOCATOR: allocator::MiMalloc = allocator::MiMalloc;

fn main() {
    // Criterion's own 100 samples would take a quarter of an hour, for kernels of milliseconds.
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    convolution::bench(&mut criterion);
    norm::bench(&mut criterion);
    pool::bench(&mut criterion);
    tokens::bench(&mut criterion);
    contrast::bench(&mut criterion);
    criterion.final_summary();
}
