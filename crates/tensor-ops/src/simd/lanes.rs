//! What a kernel needs of a vector register.
#![allow(unsafe_code, reason = "registers are read and written through pointers")]

use super::Kernel;

/// A vector register of `f32`s.
///
/// The methods are safe to call where the instructions are there, which [`Family::run`](super::Family::run) sees to;
/// their implementations are `#[inline(always)]`, so that they become single instructions inside a kernel.
pub(crate) trait Lanes: 'static {
    /// The register.
    type V: Copy;
    /// Values in a register.
    const N: usize;
    /// Rows of a full tile, at most `N`: as many as the registers hold accumulators for, two to a row.
    const ROWS: usize;

    /// Does the work in a function of its own, compiled for these lanes: code that many kernels share is there once.
    fn outlined<K: Kernel>(kernel: K) -> K::Output;
    /// Zeros.
    fn zero() -> Self::V;
    /// One value in every lane.
    fn splat(value: f32) -> Self::V;
    /// `a + b`.
    fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(a: Self::V, b: Self::V) -> Self::V;
    /// The greater; `b` where either is not a number.
    fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `2^n` for `n` in the lowest bits of the representation, between -126 and 127.
    fn power_of_two(n: Self::V) -> Self::V;
    /// `below` where the sign of `x` is negative, `above` elsewhere.
    fn by_sign(x: Self::V, below: Self::V, above: Self::V) -> Self::V;
    /// Reads `N` values.
    ///
    /// # Safety
    ///
    /// `N` values can be read from `from`, at any alignment.
    unsafe fn load(from: *const f32) -> Self::V;
    /// Writes `N` values.
    ///
    /// # Safety
    ///
    /// `N` values can be written to `to`, at any alignment.
    unsafe fn store(to: *mut f32, value: Self::V);
    /// `to[column][row] = from[row][column]` for a block of [`BLOCK`] rows and columns.
    ///
    /// # Safety
    ///
    /// `BLOCK` rows of `BLOCK` values, `from_row` apart, can be read from `from`, and likewise written to `to`.
    unsafe fn transpose_block(from: *const f32, from_row: usize, to: *mut f32, to_row: usize);
}

/// Rows and columns of what [`Lanes::transpose_block`] transposes.
pub(crate) const BLOCK: usize = 8;
