//! The compute device and the number of threads.

use std::num::NonZeroUsize;

use tensor_ops::Device;

use crate::failure::Failure;

/// Sets the number of threads that one operation uses (default: all cores), and returns the device.
///
/// # Errors
/// If the threads cannot be started, or the device cannot be used.
pub fn start(threads: Option<NonZeroUsize>) -> Result<Device, Failure> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = threads {
        pool = pool.num_threads(threads.get());
    }
    pool.build_global().map_err(|error| {
        Failure::new(format!("the threads cannot be started: {error}"), "ask for fewer with `--threads`")
    })?;
    tensor_ops::allow_tensor_float(!is_exact());
    device()
}

/// Environment variable that turns off TF32, so that a GPU computes in full single precision.
const EXACT: &str = "MOCO_EXACT";

fn is_exact() -> bool {
    std::env::var_os(EXACT).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Like [`start`], but a GPU always computes in full single precision, for comparisons with other programs.
///
/// # Errors
/// As [`start`].
pub fn start_exact() -> Result<Device, Failure> {
    let device = start(None)?;
    tensor_ops::allow_tensor_float(false);
    Ok(device)
}

/// Checks that this machine has the kernels that the environment asks for.
///
/// # Errors
/// If `MOCO_KERNELS` names kernels that this machine does not have.
pub fn choose_kernels() -> Result<(), Failure> {
    tensor_ops::choose_kernels().map_err(|error| {
        Failure::new(error.to_string(), "choose one of these, or unset the variable to use the fastest")
    })
}

/// One line: device, number of threads, kernels.
pub fn describe() -> String {
    let threads = rayon::current_num_threads();
    let plural = if threads == 1 { "thread" } else { "threads" };
    let kernels = tensor_ops::kernel_family();
    match tensor_ops::device_status() {
        Ok(Some(status)) => format!("CUDA device {}, {}; {kernels} kernels", status.ordinal, status.name),
        _ => format!("CPU, {threads} {plural}, {kernels} kernels"),
    }
}

/// The default number of data loader workers: one per core.
pub fn default_workers() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn device() -> Result<Device, Failure> {
    Ok(moco::device()?)
}
