//! Element by element: casts, sums, ReLU.

use kernels_cpu::Precision;

use crate::{
    array::{Array, to_add_to},
    error::Result,
    launch::Launch,
    memory::Memory,
    program::Program,
};

pub(crate) static POINTWISE: Program = Program::new(
    "pointwise",
    include_str!("kernels/pointwise.cu"),
    include_str!("kernels/pointwise_typed.cu"),
);

/// The name of a kernel for values of this precision: `typed!(precision, "relu")` is `relu_f32` or `relu_bf16`.
macro_rules! typed {
    ($precision:expr, $name:literal) => {
        match $precision {
            kernels_cpu::Precision::F32 => concat!($name, "_f32"),
            kernels_cpu::Precision::Bf16 => concat!($name, "_bf16"),
        }
    };
}
pub(crate) use typed;

/// `sum[i] += values[i]`.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the lengths differ.
pub fn add(sum: &mut Array, values: &Array) -> Result<()> {
    let n = sum.len();
    assert_eq!(n, values.len(), "terms have one length");
    if let Array::Lent(_) = sum {
        *sum = sum.duplicate()?;
    }
    let values = in_precision(values, sum.precision())?;
    // SAFETY: both are that long.
    unsafe {
        Launch::new(&POINTWISE, typed!(sum.precision(), "add_to"))
            .write_array(sum)
            .read_array(values.get())
            .long(n)
            .over(n)
    }
}

/// `sum[i] += values[i]`, of single-precision values in memory of something else.
///
/// # Safety
///
/// As many single-precision values as `values` has are at the address, on the device of this process, and nothing else uses
/// them.
///
/// # Errors
///
/// When the device fails.
pub unsafe fn add_at(sum: u64, values: &Array) -> Result<()> {
    let n = values.len();
    let values = in_precision(values, Precision::F32)?;
    // SAFETY: the caller answers for the sum, and the values are there.
    unsafe { Launch::new(&POINTWISE, "add_to_f32").address(sum).read_array(values.get()).long(n).over(n) }
}

/// The sum of consecutive parts of `len` values, in their order, added to what was there `before`.
pub(crate) fn sum_splits(
    partial: &Memory<f32>,
    n_splits: usize,
    len: usize,
    before: Option<Array>,
) -> Result<Array> {
    assert!(partial.len() >= n_splits * len, "each split has all its values");
    let (mut sum, adds) = to_add_to(before, len, Precision::F32)?;
    // SAFETY: the arrays are that long.
    unsafe {
        Launch::new(&POINTWISE, "sum_splits")
            .read(partial)
            .write_array(&mut sum)
            .int(n_splits)
            .flag(adds)
            .long(len)
            .over(len)
    }?;
    Ok(sum)
}

/// `(taps, in, out)` to `(taps, out, in)`, in this precision.
pub(crate) fn transpose_taps(
    weight: &Memory<f32>,
    precision: Precision,
    (n_in, n_out): (usize, usize),
) -> Result<Array> {
    let n = weight.len();
    assert!(n.is_multiple_of(n_in * n_out), "each tap has all its weights");
    let mut transposed = Array::unwritten(n, precision)?;
    // SAFETY: both are that long, and each tap is whole.
    unsafe {
        Launch::new(&POINTWISE, typed!(precision, "transpose_taps"))
            .read(weight)
            .write_array(&mut transposed)
            .int(n_in)
            .int(n_out)
            .long(n)
            .over(n)
    }?;
    Ok(transposed)
}

/// Values as they are, or their copy in another precision.
#[derive(Debug)]
pub(crate) enum Converted<'a> {
    Same(&'a Array),
    Copy(Array),
}

impl Converted<'_> {
    pub(crate) fn get(&self) -> &Array {
        match self {
            Self::Same(array) => array,
            Self::Copy(array) => array,
        }
    }
}

/// The values in this precision: a copy only where that is another.
pub(crate) fn in_precision(values: &Array, precision: Precision) -> Result<Converted<'_>> {
    Ok(match (values.precision(), precision) {
        (Precision::F32, Precision::Bf16) => Converted::Copy(narrow(values)?),
        (Precision::Bf16, Precision::F32) => Converted::Copy(Array::F32(widen(values)?)),
        _ => Converted::Same(values),
    })
}

/// Single-precision values in bfloat16.
pub(crate) fn narrow(values: &Array) -> Result<Array> {
    let n = values.len();
    let mut halves = Memory::unwritten(n)?;
    assert!(values.precision() == Precision::F32, "what is narrowed is of single precision");
    // SAFETY: both are that long.
    unsafe {
        Launch::new(&POINTWISE, "from_f32_bf16").read_array(values).write(&mut halves).long(n).over(n)
    }?;
    Ok(Array::Bf16(halves))
}

/// Single-precision values in bfloat16.
pub(crate) fn narrow_slice(values: &Memory<f32>) -> Result<Memory<u16>> {
    let n = values.len();
    let mut halves = Memory::unwritten(n)?;
    // SAFETY: both are that long.
    unsafe { Launch::new(&POINTWISE, "from_f32_bf16").read(values).write(&mut halves).long(n).over(n) }?;
    Ok(halves)
}

/// Values of bfloat16 in single precision.
pub(crate) fn widen(values: &Array) -> Result<Memory<f32>> {
    let n = values.len();
    let mut wide = Memory::unwritten(n)?;
    assert!(values.precision() == Precision::Bf16, "what is widened is of bfloat16");
    // SAFETY: both are that long.
    unsafe { Launch::new(&POINTWISE, "to_f32_bf16").read_array(values).write(&mut wide).long(n).over(n) }?;
    Ok(wide)
}

/// `max(x, 0)`; NaN stays.
///
/// # Errors
///
/// When the device fails.
pub fn relu(x: &Array) -> Result<Array> {
    let n = x.len();
    let mut y = Array::unwritten(n, x.precision())?;
    // SAFETY: both are that long.
    unsafe {
        Launch::new(&POINTWISE, typed!(x.precision(), "relu"))
            .read_array(x)
            .write_array(&mut y)
            .long(n)
            .over(n)
    }?;
    Ok(y)
}

/// `a + b`, or `max(a + b, 0)`, in the precision of `a`.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the lengths differ.
pub fn sum(a: &Array, b: &Array, is_rectified: bool) -> Result<Array> {
    let n = a.len();
    assert_eq!(n, b.len(), "terms have one length");
    let b = in_precision(b, a.precision())?;
    let mut y = Array::unwritten(n, a.precision())?;
    // SAFETY: all are that long.
    unsafe {
        Launch::new(&POINTWISE, typed!(a.precision(), "sum"))
            .read_array(a)
            .read_array(b.get())
            .write_array(&mut y)
            .flag(is_rectified)
            .long(n)
            .over(n)
    }?;
    Ok(y)
}

/// The gradient where ReLU was on, by its output, in the output's precision.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the lengths differ.
pub fn mask(gradient: Array, output: &Array) -> Result<Array> {
    let n = gradient.len();
    assert_eq!(n, output.len(), "a gradient has the length of what it is of");
    let mut gradient = gradient.into_precision(output.precision())?.into_own()?;
    // SAFETY: both are that long.
    unsafe {
        Launch::new(&POINTWISE, typed!(output.precision(), "mask"))
            .write_array(&mut gradient)
            .read_array(output)
            .long(n)
            .over(n)
    }?;
    Ok(gradient)
}
