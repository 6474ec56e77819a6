//! What computes: the device, and the threads beside it.

use std::num::NonZeroUsize;

use tensor_ops::Device;

use crate::failure::Failure;

/// Sets the number of threads that one operation uses, all cores if nothing is said, and gives the device.
///
/// # Errors
/// If the system gives no threads, or there is no device.
pub(crate) fn start(threads: Option<NonZeroUsize>) -> Result<Device, Failure> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = threads {
        pool = pool.num_threads(threads.get());
    }
    pool.build_global().map_err(|error| {
        Failure::new(format!("the threads cannot be started: {error}"), "ask for fewer with `--threads`")
    })?;
    device()
}

/// Refuses an environment that asks for kernels that this machine does not have.
///
/// # Errors
/// If `MOCO_KERNELS` does.
pub(crate) fn choose_kernels() -> Result<(), Failure> {
    tensor_ops::choose_kernels().map_err(|error| {
        Failure::new(error.to_string(), "take one of these, or unset the variable, for the fastest")
    })
}

/// One line: device, threads, kernels.
pub(crate) fn describe() -> String {
    let threads = rayon::current_num_threads();
    let plural = if threads == 1 { "thread" } else { "threads" };
    format!("{}, {threads} {plural}, {} kernels", device_name(), tensor_ops::kernel_family())
}

/// Loader threads if nothing is said: one a core.
pub(crate) fn default_workers() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn device() -> Result<Device, Failure> {
    moco::device().map_err(|error| Failure::new(error.to_string(), error.hint()))
}

fn device_name() -> &'static str {
    if cfg!(feature = "cuda") { "CUDA device 0" } else { "CPU" }
}
