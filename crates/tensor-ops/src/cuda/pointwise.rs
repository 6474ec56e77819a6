//! Element by element: casts, sums, ReLU, moving averages.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, DeviceSlice};
use dfdx::tensor::CudaError;

use super::{
    array::{Array, duplicate, to_add_to, unwritten},
    context::context,
    launch::Launch,
    program::Program,
};
use crate::{
    FeatureMap, Gradients, OpError, Precision, device::MapSlot, feature_map::join, resident::Resident,
    values::Values,
};

pub(super) static POINTWISE: Program = Program::new(
    "pointwise",
    include_str!("kernels/pointwise.cu"),
    include_str!("kernels/pointwise_typed.cu"),
);

/// The name of a kernel for values of this precision: `typed!(precision, "relu")` is `relu_f32` or `relu_bf16`.
macro_rules! typed {
    ($precision:expr, $name:literal) => {
        match $precision {
            crate::Precision::F32 => concat!($name, "_f32"),
            crate::Precision::Bf16 => concat!($name, "_bf16"),
        }
    };
}
pub(super) use typed;

/// `sum[i] += values[i]`.
pub(crate) fn add_to(sum: &mut CudaSlice<f32>, values: &CudaSlice<f32>) -> Result<(), CudaError> {
    let n = sum.len();
    assert_eq!(n, values.len(), "terms have one length");
    Launch::new(&POINTWISE, "add_to").write(sum).read(values).long(n).over(n)
}

/// The sum of consecutive parts of `len` values, in their order, added to what was there `before`.
pub(super) fn sum_splits(
    partial: &CudaSlice<f32>,
    n_splits: usize,
    len: usize,
    before: Option<CudaSlice<f32>>,
) -> Result<CudaSlice<f32>, CudaError> {
    let (mut sum, adds) = to_add_to(before, len)?;
    Launch::new(&POINTWISE, "sum_splits")
        .read(partial)
        .write(&mut sum)
        .int(n_splits)
        .int(usize::from(adds))
        .long(len)
        .over(len)?;
    Ok(sum)
}

/// `(taps, in, out)` to `(taps, out, in)`, in this precision.
pub(super) fn transpose_taps(
    weight: &Resident,
    precision: Precision,
    n_taps: usize,
    n_in: usize,
    n_out: usize,
) -> Result<Array, CudaError> {
    let n = n_taps * n_in * n_out;
    let mut transposed = Array::unwritten(n, precision)?;
    Launch::new(&POINTWISE, typed!(precision, "transpose_taps"))
        .read(weight.on_device()?)
        .write_array(&mut transposed)
        .int(n_in)
        .int(n_out)
        .long(n)
        .over(n)?;
    Ok(transposed)
}

/// A copy in another precision, or the same.
pub(crate) fn cast(from: &Array, precision: Precision) -> Result<Array, CudaError> {
    let n = from.len();
    match (from, precision) {
        (Array::F32(values), Precision::F32) => Ok(Array::F32(duplicate(values)?)),
        (Array::F32(values), Precision::Bf16) => narrow(values),
        (Array::Bf16(_), _) => {
            let mut wide = unwritten(n)?;
            Launch::new(&POINTWISE, "to_f32_bf16").read_array(from).write(&mut wide).long(n).over(n)?;
            match precision {
                Precision::F32 => Ok(Array::F32(wide)),
                Precision::Bf16 => narrow(&wide),
            }
        }
    }
}

/// In bfloat16.
pub(crate) fn narrow(values: &CudaSlice<f32>) -> Result<Array, CudaError> {
    let n = values.len();
    let mut narrow = Array::unwritten(n, Precision::Bf16)?;
    Launch::new(&POINTWISE, "from_f32_bf16").read(values).write_array(&mut narrow).long(n).over(n)?;
    Ok(narrow)
}

/// Row `i` of the result is row `order[i]`, of `row_len` values.
pub(crate) fn gather_rows(from: &Array, order: &[usize], row_len: usize) -> Result<Array, CudaError> {
    let n = order.len() * row_len;
    let order = upload_order(order)?;
    let mut to = Array::unwritten(n, from.precision())?;
    Launch::new(&POINTWISE, typed!(from.precision(), "gather_rows"))
        .read_array(from)
        .write_array(&mut to)
        .read(&order)
        .long(row_len)
        .long(n)
        .over(n)?;
    Ok(to)
}

/// [`gather_rows`] from memory to memory that something else owns, of single-precision values.
pub(super) fn gather_rows_at(from: u64, to: u64, order: &[usize], row_len: usize) -> Result<(), CudaError> {
    let n = order.len() * row_len;
    let order = upload_order(order)?;
    Launch::new(&POINTWISE, "gather_rows_f32")
        .pointer(from)
        .pointer(to)
        .read(&order)
        .long(row_len)
        .long(n)
        .over(n)
}

fn upload_order(order: &[usize]) -> Result<CudaSlice<i32>, CudaError> {
    let order: Vec<i32> =
        order.iter().map(|&row| i32::try_from(row).expect("row numbers are small")).collect();
    Ok(context()?.device().htod_copy(order)?)
}

/// `max(x, 0)` of values at an address, to another.
pub(super) fn relu_at(x: u64, y: u64, n: usize) -> Result<(), CudaError> {
    Launch::new(&POINTWISE, "relu_f32").pointer(x).pointer(y).long(n).over(n)
}

/// Zeros the gradient where ReLU was off, by its output.
pub(crate) fn mask(gradient: &mut CudaSlice<f32>, output: &Array) -> Result<(), CudaError> {
    let n = gradient.len();
    assert_eq!(n, output.len(), "a gradient has the length of what it is of");
    Launch::new(&POINTWISE, typed!(output.precision(), "mask"))
        .write(gradient)
        .read_array(output)
        .long(n)
        .over(n)
}

/// See [`relu`](crate::relu).
pub(crate) fn relu(x: FeatureMap) -> Result<FeatureMap, OpError> {
    let layout = x.layout;
    let input = x.values.array();
    let mut y = Array::unwritten(layout.len(), input.precision())?;
    Launch::new(&POINTWISE, typed!(input.precision(), "relu"))
        .read_array(input)
        .write_array(&mut y)
        .long(layout.len())
        .over(layout.len())?;
    let values = Arc::new(Values::Device(y));
    let slot = MapSlot::new(x.device(), layout.len());
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let (x, output) = (x.slot.clone(), Arc::clone(&values));
        move |gradients: &mut Gradients, mut gradient: CudaSlice<f32>| {
            mask(&mut gradient, output.array())?;
            x.add_slice(gradients, gradient)
        }
    });
    Ok(FeatureMap::output_on_device(slot, layout, values, recording, backward))
}

/// See [`add`](crate::add) and [`add_relu`](crate::add_relu).
pub(crate) fn sum(a: FeatureMap, b: FeatureMap, with_relu: bool) -> Result<FeatureMap, OpError> {
    let layout = a.layout;
    let precision = a.precision();
    let mut y = Array::unwritten(layout.len(), precision)?;
    let other = b.values.array();
    if other.precision() != precision {
        return Err(OpError::shape("add", "precision of the second term", precision, other.precision()));
    }
    Launch::new(&POINTWISE, typed!(precision, "sum"))
        .read_array(a.values.array())
        .read_array(other)
        .write_array(&mut y)
        .int(usize::from(with_relu))
        .long(layout.len())
        .over(layout.len())?;
    let values = Arc::new(Values::Device(y));
    let slot = MapSlot::new(a.device(), layout.len());
    let (a, recording) = a.split_recording();
    let (b, other) = b.split_recording();
    let slots: Vec<MapSlot> =
        [a, b].into_iter().filter(|term| term.needs_gradient).map(|term| term.slot).collect();
    let backward = (!slots.is_empty()).then(|| {
        let output = with_relu.then(|| Arc::clone(&values));
        move |gradients: &mut Gradients, mut gradient: CudaSlice<f32>| {
            if let Some(output) = output {
                mask(&mut gradient, output.array())?;
            }
            if let [_, second] = &slots[..] {
                second.add_slice(gradients, duplicate(&gradient)?)?;
            }
            slots[0].add_slice(gradients, gradient)
        }
    });
    Ok(FeatureMap::output_on_device(slot, layout, values, join(recording, other), backward))
}
