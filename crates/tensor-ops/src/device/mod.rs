//! Where dfdx's storage and the host's memory meet: everything that depends on the device is in this folder.
//!
//! Operations of the host compute on slices. On the CPU device that costs no copy of a gradient. A build for the CUDA device
//! has operations of its own; those of the host fetch each value, and send it back: right, and slow.

#[cfg(not(feature = "cuda"))]
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod map_slot;
mod slot;

use dfdx::tensor::Storage;

pub use self::backend::Movable;
#[cfg(not(feature = "cuda"))]
use self::cpu as backend;
#[cfg(feature = "cuda")]
use self::cuda as backend;
#[cfg(feature = "cuda")]
pub(crate) use self::cuda::take_slice;
pub(crate) use self::{backend::DeviceError, map_slot::MapSlot, slot::GradientSlot};
use crate::Device;

/// Whether operations compute on the CUDA device, so that values are best left there: in a build with the feature `cuda`,
/// unless the environment asks for the host's kernels.
pub fn is_on_device() -> bool {
    #[cfg(feature = "cuda")]
    return crate::cuda::is_used();
    #[cfg(not(feature = "cuda"))]
    false
}

/// How dfdx keeps the gradient of one tensor.
pub(crate) type Stored = <Device as Storage<f32>>::Vec;

/// Moves a gradient out and leaves nothing behind, so that its memory is free as soon as the caller is done.
pub(crate) fn take(stored: &mut Stored) -> Result<Vec<f32>, DeviceError> {
    backend::take(stored)
}

/// Replaces a gradient.
pub(crate) fn put(stored: &mut Stored, values: Vec<f32>) -> Result<(), DeviceError> {
    backend::put(stored, values)
}

/// Adds to a gradient of the same length.
pub(crate) fn add(stored: &mut Stored, values: &[f32]) -> Result<(), DeviceError> {
    let mut sum = take(stored)?;
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += value;
    }
    put(stored, sum)
}

/// The values of a matrix, row after row, whatever its strides.
pub(crate) fn rows<T>(matrix: &dfdx::tensor::Tensor<(usize, usize), f32, Device, T>) -> Vec<f32> {
    backend::rows(matrix)
}
