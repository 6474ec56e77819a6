//! Rows of features.

use cudarc::driver::{CudaSlice, DeviceSlice, result};
use dfdx::{
    shapes::HasShape,
    tensor::{CudaError, PutTape, SplitTape, Tape, Tensor},
};

use super::{
    array::unwritten,
    context::context,
    launch::Launch,
    pointwise::{gather_rows_at, relu_at},
    program::Program,
    tensor::{address, matrix},
};
use crate::{
    Device, Features, Gradients, Matrix, OpError,
    device::{Stored, take_slice},
    l2_normalize::MIN_LENGTH,
    resident::Resident,
};

pub(super) static FEATURES: Program = Program::new("features", include_str!("kernels/features.cu"), "");

/// The gradient of a matrix of `len` values, to be added to.
pub(super) fn gradient_mut(stored: &mut Stored, len: usize) -> &mut CudaSlice<f32> {
    let gradient = &mut **stored;
    assert_eq!(gradient.len(), len, "a gradient has the length of what it is of");
    gradient
}

/// See [`select_rows`](crate::select_rows).
pub(crate) fn select_rows<T: std::fmt::Debug>(
    from: &Tensor<(usize, usize), f32, Device, T>,
    order: &[usize],
) -> Result<Matrix, CudaError> {
    let (_, d) = *from.shape();
    let (selected, at) = matrix(from.device(), (order.len(), d))?;
    gather_rows_at(address(from), at, order, d)?;
    Ok(selected)
}

/// See [`concat_rows`](crate::concat_rows).
pub(crate) fn concat_rows(parts: &[&Matrix], (n, d): (usize, usize)) -> Result<Matrix, CudaError> {
    let (whole, at) = matrix(parts[0].device(), (n, d))?;
    let mut n_before = 0;
    for part in parts {
        let n_values = part.shape().0 * d;
        copy(address(*part), at + (n_before * size_of::<f32>()) as u64, n_values)?;
        n_before += n_values;
    }
    Ok(whole)
}

/// See [`gradient_of_rows`](crate::gradient_of_rows).
pub(crate) fn gradient_of_rows(features: &Matrix, gradients: &mut Gradients) -> Result<Matrix, OpError> {
    let (n, d) = *features.shape();
    let (rows, at) = matrix(features.device(), (n, d))?;
    let gradient = take_slice(gradients.get_or_alloc_mut(features)?)?;
    // What was taken before has left next to nothing behind.
    if gradient.len() == n * d {
        copy(*cudarc::driver::DevicePtr::device_ptr(&gradient), at, n * d)?;
    }
    Ok(rows)
}

/// Copies values from one address to another.
pub(super) fn copy(from: u64, to: u64, n: usize) -> Result<(), CudaError> {
    let context = context()?;
    context.bind()?;
    // SAFETY: all callers have as many values at both addresses.
    Ok(unsafe { result::memcpy_dtod_async(to, from, n * size_of::<f32>(), *context.device().cu_stream()) }?)
}

/// See [`relu_features`](crate::relu_features).
pub(crate) fn relu_features(x: Features) -> Result<Features, OpError> {
    let (n, d) = *x.shape();
    let (x, mut recording) = x.split_tape();
    let (y, at) = matrix(x.device(), (n, d))?;
    relu_at(address(&x), at, n * d)?;
    if recording.is_on() {
        let (x, output) = (x.ghost(), y.clone());
        recording.add_backward_op(move |gradients| {
            let gradient = take_slice(gradients.get_or_alloc_mut(&output)?)?;
            Launch::new(&FEATURES, "add_where_positive")
                .write(gradient_mut(gradients.get_or_alloc_mut(&x)?, n * d))
                .read(&gradient)
                .pointer(address(&output))
                .long(n * d)
                .over(n * d)
        });
    }
    Ok(y.put_tape(recording))
}

/// See [`l2_normalize`](crate::l2_normalize).
pub(crate) fn l2_normalize(x: Features) -> Result<Features, OpError> {
    let (n, d) = *x.shape();
    let (x, mut recording) = x.split_tape();
    let (y, at) = matrix(x.device(), (n, d))?;
    let mut lengths = unwritten::<f32>(n)?;
    Launch::new(&FEATURES, "l2_normalize")
        .pointer(address(&x))
        .pointer(at)
        .write(&mut lengths)
        .float(MIN_LENGTH)
        .int(d)
        .int(n)
        .warps(n)?;
    if recording.is_on() {
        let (x, output) = (x.ghost(), y.clone());
        recording.add_backward_op(move |gradients| {
            let gradient = take_slice(gradients.get_or_alloc_mut(&output)?)?;
            Launch::new(&FEATURES, "l2_normalize_backward")
                .write(gradient_mut(gradients.get_or_alloc_mut(&x)?, n * d))
                .read(&gradient)
                .pointer(address(&output))
                .read(&lengths)
                .float(MIN_LENGTH)
                .int(d)
                .int(n)
                .warps(n)
        });
    }
    Ok(y.put_tape(recording))
}

/// Writes rows from value number `first` on, going on at the start: see [`Buffer::write_rows`](crate::Buffer::write_rows).
pub(crate) fn write_around(to: &mut Resident, rows: &Matrix, first: usize) -> Result<(), CudaError> {
    let (n, d) = *rows.shape();
    let len = to.len();
    assert!(first < len && n * d <= len, "rows fit where they are written");
    Launch::new(&FEATURES, "write_around")
        .write(to.on_device_mut()?)
        .pointer(address(rows))
        .long(first)
        .long(len)
        .long(n * d)
        .over(n * d)
}
