//! Sums of products, and values times a number: what losses are made of. No value goes to the host here.

use kernels_cpu::Precision;

use crate::{
    array::Array,
    error::Result,
    launch::{BLOCK, Launch},
    memory::Memory,
    pointwise::in_precision,
    program::Program,
};

pub(crate) static DOT: Program =
    Program::new("dot", concat!(include_str!("kernels/reduce.cu"), include_str!("kernels/dot.cu")), "");

/// Blocks that sum `n` values: each sums enough to be worth it, and one block of threads adds what they found.
fn n_partial(n: usize) -> usize {
    n.div_ceil(16 * BLOCK as usize).clamp(1, BLOCK as usize)
}

/// The sum of all products, one value.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the lengths differ.
pub fn dot(a: &Array, b: &Array) -> Result<Array> {
    let n = a.len();
    assert_eq!(n, b.len(), "each value has one to be multiplied by");
    let (a, b) = (in_precision(a, Precision::F32)?, in_precision(b, Precision::F32)?);
    let n_partial = n_partial(n);
    let (mut partial, mut sum) = (Memory::<f64>::unwritten(n_partial)?, Memory::<f32>::unwritten(1)?);
    // SAFETY: both factors are that long, and each block has a place for its sum.
    unsafe {
        Launch::new(&DOT, "dot_partial")
            .read_array(a.get())
            .read_array(b.get())
            .write(&mut partial)
            .long(n)
            .blocks(n_partial, 1, 1)
    }?;
    // SAFETY: there are as many sums, and one total.
    unsafe {
        Launch::new(&DOT, "dot_finish").read(&partial).write(&mut sum).int(partial.len()).blocks(1, 1, 1)
    }?;
    Ok(Array::F32(sum))
}

/// The values, of single precision, times a number.
///
/// # Errors
///
/// When the device fails.
pub fn scaled(values: &Array, factor: f32) -> Result<Array> {
    let n = values.len();
    let values = in_precision(values, Precision::F32)?;
    let mut scaled = Memory::<f32>::unwritten(n)?;
    // SAFETY: both are that long.
    unsafe {
        Launch::new(&DOT, "scaled").write(&mut scaled).read_array(values.get()).float(factor).long(n).over(n)
    }?;
    Ok(Array::F32(scaled))
}

/// The values, of single precision, times a value that stays where it is.
///
/// # Errors
///
/// When the device fails.
pub fn scaled_by(values: &Array, factor: &Array) -> Result<Array> {
    let n = values.len();
    let (values, factor) = (in_precision(values, Precision::F32)?, in_precision(factor, Precision::F32)?);
    let mut scaled = Memory::<f32>::unwritten(n)?;
    // SAFETY: both are that long, and an array has a first value.
    unsafe {
        Launch::new(&DOT, "scaled_by")
            .write(&mut scaled)
            .read_array(values.get())
            .read_array(factor.get())
            .long(n)
            .over(n)
    }?;
    Ok(Array::F32(scaled))
}
