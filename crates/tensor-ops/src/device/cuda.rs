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

/// Length of a gradient that nothing has been added to yet. Not 0, which some drivers refuse to allocate.
pub(super) const UNTOUCHED_LEN: usize = 1;

pub(super) fn take(stored: &mut Stored) -> Result<Vec<f32>, DeviceError> {
    crate::cuda::download(&take_slice(stored)?)
}

/// Moves a gradient out where it is.
pub(crate) fn take_slice(stored: &mut Stored) -> Result<CudaSlice<f32>, DeviceError> {
    let nothing = crate::cuda::zeros(UNTOUCHED_LEN)?;
    Ok(std::mem::replace(&mut **stored, nothing))
}

pub(super) fn put(stored: &mut Stored, values: Vec<f32>) -> Result<(), DeviceError> {
    **stored = stored.device().htod_copy(values).map_err(CudaError::from)?;
    Ok(())
}

pub(super) fn len(stored: &Stored) -> usize {
    DeviceSlice::len(stored)
}

pub(super) fn rows<T>(matrix: &Tensor<(usize, usize), f32, Device, T>) -> Vec<f32> {
    matrix.as_vec()
}
