//! dfdx's CPU device: storage is a `Vec` on the host.

use dfdx::{shapes::HasShape, tensor::Tensor};

use super::Stored;
use crate::Device;

/// What can go to another thread, if tensors can: on the CPU they can.
pub trait Movable: Send {}

impl<T: Send + ?Sized> Movable for T {}

/// What the device reports when it fails.
pub(crate) type DeviceError = dfdx::tensor::CpuError;

/// Length of a gradient that nothing has been added to yet.
pub(super) const UNTOUCHED_LEN: usize = 0;

pub(super) fn take(stored: &mut Stored) -> Result<Vec<f32>, DeviceError> {
    Ok(std::mem::take(&mut **stored))
}

pub(super) fn put(stored: &mut Stored, values: Vec<f32>) -> Result<(), DeviceError> {
    **stored = values;
    Ok(())
}

pub(super) fn len(stored: &Stored) -> usize {
    stored.len()
}

pub(super) fn rows<T>(matrix: &Tensor<(usize, usize), f32, Device, T>) -> Vec<f32> {
    let (n, d) = *matrix.shape();
    if !is_contiguous(matrix) {
        return matrix.as_vec();
    }
    let mut rows = vec![0.0; n * d];
    matrix.copy_into(&mut rows);
    rows
}

/// Whether elements lie row after row: dfdx's permuted and broadcast tensors share storage that lies otherwise.
fn is_contiguous<T>(matrix: &Tensor<(usize, usize), f32, Device, T>) -> bool {
    let (n, d) = *matrix.shape();
    if n == 0 || d == 0 {
        return true;
    }
    let first = std::ptr::from_ref(&matrix[[0, 0]]).addr();
    let last = std::ptr::from_ref(&matrix[[n - 1, d - 1]]).addr();
    let next = std::ptr::from_ref(&matrix[[0, d.min(2) - 1]]).addr();
    last.wrapping_sub(first) == (n * d - 1) * size_of::<f32>()
        && next.wrapping_sub(first) == (d.min(2) - 1) * size_of::<f32>()
}
