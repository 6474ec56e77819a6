//! dfdx's CUDA device: storage is on the device, and is copied to the host and back for operations of the host.

use cudarc::driver::{CudaSlice, DeviceSlice};
use dfdx::tensor::{CudaError, Tensor};

use super::Stored;
use crate::Device;

/// What can go to another thread, if tensors can: those of dfdx's CUDA device cannot.
pub trait Movable {}

impl<T: ?Sized> Movable for T {}

/// What the device reports when it fails.
pub(crate) type DeviceError = CudaError;

/// Length of what is left where a gradient was taken. Not 0, which some drivers refuse to allocate; and never taken for a
/// gradient, because those that are that short are copied out.
const TAKEN_LEN: usize = 1;

pub(super) fn take(stored: &mut Stored) -> Result<Vec<f32>, DeviceError> {
    Ok(stored.device().dtoh_sync_copy(&**stored)?)
}

pub(super) fn put(stored: &mut Stored, values: Vec<f32>) -> Result<(), DeviceError> {
    **stored = stored.device().htod_copy(values)?;
    Ok(())
}

pub(super) fn rows<T>(matrix: &Tensor<(usize, usize), f32, Device, T>) -> Vec<f32> {
    matrix.as_vec()
}
