//! dfdx's CUDA device: storage is on the device, and is copied to the host and back for operations of the host.

use dfdx::tensor::{CudaError, Tensor};

use super::Stored;
use crate::{
    Device, Matrix,
    backend::{Cuda, Storage as _},
};

/// What can go to another thread, if tensors can: those of dfdx's CUDA device cannot.
pub trait Movable {}

impl<T: ?Sized> Movable for T {}

/// What the device reports when it fails.
pub(crate) type DeviceError = CudaError;

pub(super) fn take(stored: &mut Stored) -> Result<Vec<f32>, DeviceError> {
    match Cuda.take_stored(stored)? {
        Some(gradient) => Cuda.to_host(&gradient),
        None => Ok(Vec::new()),
    }
}

pub(super) fn put(stored: &mut Stored, values: Vec<f32>) -> Result<(), DeviceError> {
    **stored = stored.device().htod_copy(values)?;
    Ok(())
}

pub(super) fn rows<T>(matrix: &Tensor<(usize, usize), f32, Device, T>) -> Vec<f32> {
    matrix.as_vec()
}

pub(super) fn strides(matrix: &Matrix) -> Option<[usize; 2]> {
    crate::backend::cuda_strides(matrix)
}
