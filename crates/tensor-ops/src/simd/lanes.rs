//! What a kernel needs of a vector register.
#![allow(unsafe_code, reason = "registers are read and written through pointers")]

/// A vector register of `f32`s.
///
/// The methods are safe to call where the instructions are there, which [`Family::run`](super::Family::run) sees to;
/// their implementations are `#[inline(always)]`, so that they become single instructions inside a kernel.
pub(crate) trait Lanes: 'static {
    /// The register.
    type V: Copy;
    /// Values in a register.
    const N: usize;
    /// Rows of a full tile: as many as the registers hold accumulators for, two to a row.
    const ROWS: usize;

    /// Zeros.
    fn zero() -> Self::V;
    /// One value in every lane.
    fn splat(value: f32) -> Self::V;
    /// `a * b + c`.
    fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
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
}
