//! dfdx's CPU device: storage is a `Vec` on the host.

use dfdx::{shapes::HasShape, tensor::Tensor};

use super::Stored;
use crate::{Device, Matrix};

/// What can go to another thread, if tensors can: on the CPU they can.
pub trait Movable: Send {}

impl<T: Send + ?Sized> Movable for T {}

/// What the device reports when it fails.
pub(crate) type DeviceError = dfdx::tensor::CpuError;

pub(super) fn take(stored: &mut Stored) -> Result<Vec<f32>, DeviceError> {
    Ok(std::mem::take(&mut **stored))
}

pub(super) fn put(stored: &mut Stored, values: Vec<f32>) -> Result<(), DeviceError> {
    **stored = values;
    Ok(())
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

pub(super) fn strides(matrix: &Matrix) -> Option<[usize; 2]> {
    strides_of(matrix).filter(|_| !is_contiguous(matrix))
}

/// Whether elements lie row after row: dfdx's permuted and broadcast tensors share storage that lies otherwise.
fn is_contiguous<T>(matrix: &Tensor<(usize, usize), f32, Device, T>) -> bool {
    let (n, d) = *matrix.shape();
    // A stride along an axis of one element says nothing.
    strides_of(matrix).is_none_or(|[row, column]| (n == 1 || row == d) && (d == 1 || column == 1))
}

/// From the addresses of elements, since dfdx keeps strides to itself; `None` without elements.
fn strides_of<T>(matrix: &Tensor<(usize, usize), f32, Device, T>) -> Option<[usize; 2]> {
    let (n, d) = *matrix.shape();
    if n == 0 || d == 0 {
        return None;
    }
    let at = |row: usize, column: usize| std::ptr::from_ref(&matrix[[row, column]]).addr();
    let distance = |to: usize| (to - at(0, 0)) / size_of::<f32>();
    Some([distance(at(n.min(2) - 1, 0)), distance(at(0, d.min(2) - 1))])
}
