//! Tokens of every image, `(N, T, D)`, moved, averaged and scaled.

use kernels_cpu::Precision;

use crate::{
    array::Array,
    error::Result,
    launch::Launch,
    memory::Memory,
    pointwise::{in_precision, typed},
    program::Program,
};

pub(crate) static TOKENS: Program =
    Program::new("tokens_rows", "", include_str!("../kernels/tokens_rows_typed.cu"));

fn check([n, t, d]: [usize; 3], x: &Array) {
    assert_eq!(x.len(), n * t * d, "tokens are as many as their shape says");
}

fn check_part([_, t, _]: [usize; 3], first: usize, count: usize) {
    assert!(count > 0 && first.checked_add(count).is_some_and(|end| end <= t), "the tokens are there");
}

/// `(N, R + T, D)`, with `r` tokens first.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the lengths are not those of the shape.
pub fn prepend(x: &Array, tokens: &Memory<f32>, r: usize, shape: [usize; 3]) -> Result<Array> {
    let [n, t, d] = shape;
    check(shape, x);
    assert!(tokens.len() >= r * d, "tokens have as many features as the others");
    let mut y = Array::unwritten(n * (r + t) * d, x.precision())?;
    // SAFETY: the lengths are those of the shape.
    unsafe {
        Launch::new(&TOKENS, typed!(x.precision(), "prepend_tokens"))
            .read_array(x)
            .read(tokens)
            .write_array(&mut y)
            .int(n)
            .int(t)
            .int(d)
            .int(r)
            .over_images((r + t) * d, n)
    }?;
    Ok(y)
}

/// `count` tokens from `first` on, `(N, count, D)`.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the length is not that of the shape, or there are no such tokens.
pub fn take(x: &Array, shape: [usize; 3], first: usize, count: usize) -> Result<Array> {
    let [n, t, d] = shape;
    check(shape, x);
    check_part(shape, first, count);
    let mut y = Array::unwritten(n * count * d, x.precision())?;
    // SAFETY: the lengths are those of the shape, and the tokens are there.
    unsafe {
        Launch::new(&TOKENS, typed!(x.precision(), "take_tokens"))
            .read_array(x)
            .write_array(&mut y)
            .int(n)
            .int(t)
            .int(d)
            .int(first)
            .int(count)
            .over_images(count * d, n)
    }?;
    Ok(y)
}

/// The mean of `count` tokens from `first` on, `(N, D)`, in single precision.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the length is not that of the shape, or there are no such tokens.
pub fn mean(x: &Array, shape: [usize; 3], first: usize, count: usize) -> Result<Array> {
    let [n, t, d] = shape;
    check(shape, x);
    check_part(shape, first, count);
    let mut y = Memory::<f32>::unwritten(n * d)?;
    // SAFETY: the lengths are those of the shape, and the tokens are there.
    unsafe {
        Launch::new(&TOKENS, typed!(x.precision(), "mean_tokens"))
            .read_array(x)
            .write(&mut y)
            .int(n)
            .int(t)
            .int(d)
            .int(first)
            .int(count)
            .float(1.0 / count as f32)
            .over_images(d, n)
    }?;
    Ok(Array::F32(y))
}

/// The gradient `(N, T, D)`, in `precision`, of tokens whose mean, of `count` from `first` on, has this gradient, `(N, D)`.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the length is not that of the shape, or there are no such tokens.
pub fn spread(
    gradient: &Array,
    shape: [usize; 3],
    first: usize,
    count: usize,
    precision: Precision,
) -> Result<Array> {
    let [n, t, d] = shape;
    check([n, 1, d], gradient);
    check_part(shape, first, count);
    let gradient = in_precision(gradient, Precision::F32)?;
    let mut by_x = Array::unwritten(n * t * d, precision)?;
    // SAFETY: the lengths are those of the shape.
    unsafe {
        Launch::new(&TOKENS, typed!(precision, "spread_tokens"))
            .read_array(gradient.get())
            .write_array(&mut by_x)
            .int(n)
            .int(t)
            .int(d)
            .int(first)
            .int(count)
            .float(1.0 / count as f32)
            .over_images(t * d, n)
    }?;
    Ok(by_x)
}

/// Every row times `factors`, value by value.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the rows are not as long as the factors.
pub fn scale_features(x: &Array, factors: &Memory<f32>, d: usize) -> Result<Array> {
    assert!(x.len().is_multiple_of(d) && factors.len() >= d, "rows are as long as the factors");
    let mut y = Array::unwritten(x.len(), x.precision())?;
    // SAFETY: the lengths are those that were checked.
    unsafe {
        Launch::new(&TOKENS, typed!(x.precision(), "scale_features"))
            .read_array(x)
            .read(factors)
            .write_array(&mut y)
            .int(d)
            .long(x.len())
            .over(x.len())
    }?;
    Ok(y)
}

/// Value times value, in single precision.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If there are not as many of both.
pub fn products(a: &Array, b: &Array) -> Result<Array> {
    assert_eq!(a.len(), b.len(), "there are as many of both");
    let b = in_precision(b, a.precision())?;
    let mut y = Memory::<f32>::unwritten(a.len())?;
    // SAFETY: all three have the same length.
    unsafe {
        Launch::new(&TOKENS, typed!(a.precision(), "products"))
            .read_array(a)
            .read_array(b.get())
            .write(&mut y)
            .long(a.len())
            .over(a.len())
    }?;
    Ok(Array::F32(y))
}

/// All values of each image times its own of `factors`, which are of single precision.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the values are not as many for each factor.
pub fn scale_images(x: &Array, factors: &Array) -> Result<Array> {
    let n = factors.len();
    assert!(x.len().is_multiple_of(n), "there is a factor for each image");
    assert!(factors.precision() == Precision::F32, "factors are of single precision");
    let len = x.len() / n;
    let mut y = Array::unwritten(x.len(), x.precision())?;
    // SAFETY: each image has that many values, and a factor.
    unsafe {
        Launch::new(&TOKENS, typed!(x.precision(), "scale_images"))
            .read_array(x)
            .read_array(factors)
            .write_array(&mut y)
            .int(n)
            .int(len)
            .over_images(len, n)
    }?;
    Ok(y)
}
