//! Which kernels this process uses.

use crate::{OpError, values::Place};

/// Says whether the environment asks for kernels that there are: `MOCO_KERNELS` is the name of a family that this machine
/// has, such as `portable` or `avx2`, or is not set, or empty, which is for the fastest of the machine.
///
/// In a build for the CUDA device, one that is set has operations computed on the host: right, and slow, to look for a
/// difference.
///
/// A program calls this at its start. Operations, which have no such start, use the fastest if what is asked for is not
/// there; [`kernel_family`] tells what is in use.
///
/// # Errors
///
/// When `MOCO_KERNELS` is none of these, or names what this machine does not have.
pub fn choose_kernels() -> Result<(), OpError> {
    Ok(kernels_cpu::choose_kernels()?)
}

/// The instructions that the kernels use, such as `portable` or `avx512f+bf16`; `CUDA` where they run on the CUDA device.
pub fn kernel_family() -> &'static str {
    match Place::of_process() {
        Place::Host => kernels_cpu::kernel_family(),
        #[cfg(feature = "cuda")]
        Place::Cuda => "CUDA",
    }
}
