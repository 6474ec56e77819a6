//! Where dfdx's storage and the host's memory meet: everything that depends on dfdx's device is in this folder.
//!
//! Operations of the host compute on slices. On the CPU device that costs no copy of a gradient. In a build for the CUDA
//! device, those of the host fetch each value, and send it back: right, and slow.

#[cfg(not(feature = "cuda"))]
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use dfdx::tensor::{Storage, Tensor};

pub(crate) use self::backend::DeviceError;
pub use self::backend::Movable;
#[cfg(not(feature = "cuda"))]
use self::cpu as backend;
#[cfg(feature = "cuda")]
use self::cuda as backend;
use crate::{Device, Matrix};

/// Whether operations compute on the CUDA device, so that values are best left there: in a build with the feature `cuda`,
/// unless the environment asks for the host's kernels.
pub fn is_on_device() -> bool {
    #[cfg(feature = "cuda")]
    return kernels_cuda::is_used();
    #[cfg(not(feature = "cuda"))]
    false
}

/// How dfdx keeps the gradient of one tensor.
pub(crate) type Stored = <Device as Storage<f32>>::Vec;

/// Moves a gradient out and leaves nothing behind, so that its memory is free as soon as the caller is done. Empty if it was
/// taken before.
pub(crate) fn take(stored: &mut Stored) -> Result<Vec<f32>, DeviceError> {
    backend::take(stored)
}

/// Replaces a gradient.
pub(crate) fn put(stored: &mut Stored, values: Vec<f32>) -> Result<(), DeviceError> {
    backend::put(stored, values)
}

/// The values of a matrix, row after row, whatever its strides.
pub(crate) fn rows<T>(matrix: &Tensor<(usize, usize), f32, Device, T>) -> Vec<f32> {
    backend::rows(matrix)
}

/// From row to row and from column to column of a matrix that does not lie row after row.
pub(crate) fn strides(matrix: &Matrix) -> Option<[usize; 2]> {
    backend::strides(matrix)
}
