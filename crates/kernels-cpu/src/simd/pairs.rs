//! Operands of products: single values, and bfloat16 in pairs.
#![allow(unsafe_code, reason = "registers are read and written through pointers")]

use super::{
    Lanes,
    bf16::{rounded, widened},
    lanes::MAX_LANES,
};
use crate::memory::Plain;

/// What an operand of a tile consists of: `f32`, or `u16`, which is bfloat16.
///
/// Of bfloat16, two values lie side by side wherever one step of the inner product reads: a step multiplies both and adds
/// both products.
pub(crate) trait Element: Plain + 'static {
    /// Values of the inner dimension in a step.
    const PER_STEP: usize;

    /// A step of one row, in every lane.
    ///
    /// # Safety
    ///
    /// `PER_STEP` values can be read from `from`.
    unsafe fn splat<L: Lanes>(from: *const Self) -> L::V;
    /// A step of as many columns as a register has lanes.
    ///
    /// # Safety
    ///
    /// `PER_STEP * N` values can be read from `from`.
    unsafe fn load<L: Lanes>(from: *const Self) -> L::V;
    /// As many values as a register has lanes, in single precision.
    ///
    /// # Safety
    ///
    /// `N` values can be read from `from`.
    unsafe fn load_single<L: Lanes>(from: *const Self) -> L::V;
    /// Writes as many values as a register has lanes, each the nearest to what is there.
    ///
    /// # Safety
    ///
    /// `N` values can be written to `to`.
    unsafe fn store_single<L: Lanes>(to: *mut Self, value: L::V);
    /// `a * b + c`, over all values of the step.
    fn mul_add<L: Lanes>(a: L::V, b: L::V, c: L::V) -> L::V;
    /// One value, in single precision.
    fn single(self) -> f32;
    /// The nearest to a value.
    fn nearest(value: f32) -> Self;
    /// `to[i]` is the pair of `low[i]` and `high[i]`, in bfloat16; zeros for what a side is short of.
    ///
    /// Both sides may be shorter than `to`.
    fn pack_pairs<L: Lanes>(low: &[Self], high: &[Self], to: &mut [f32]);
    /// The values that lie in memory that a buffer of words lends.
    fn of_words(words: &[f32]) -> &[Self];
}

impl Element for f32 {
    const PER_STEP: usize = 1;

    #[inline(always)]
    unsafe fn splat<L: Lanes>(from: *const Self) -> L::V {
        // SAFETY: the caller has a value there.
        L::splat(unsafe { *from })
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L::V {
        // SAFETY: the caller has a register's values there.
        unsafe { L::load(from) }
    }

    #[inline(always)]
    unsafe fn load_single<L: Lanes>(from: *const Self) -> L::V {
        // SAFETY: the caller has the values there.
        unsafe { L::load(from) }
    }

    #[inline(always)]
    unsafe fn store_single<L: Lanes>(to: *mut Self, value: L::V) {
        // SAFETY: the caller has the room there.
        unsafe { L::store(to, value) }
    }

    #[inline(always)]
    fn mul_add<L: Lanes>(a: L::V, b: L::V, c: L::V) -> L::V {
        L::mul_add(a, b, c)
    }

    #[inline(always)]
    fn single(self) -> f32 {
        self
    }

    #[inline(always)]
    fn nearest(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn pack_pairs<L: Lanes>(low: &[Self], high: &[Self], to: &mut [f32]) {
        pair_up::<L>(low, high, to);
    }

    #[inline(always)]
    fn of_words(words: &[f32]) -> &[Self] {
        words
    }
}

impl Element for u16 {
    const PER_STEP: usize = 2;

    #[inline(always)]
    unsafe fn splat<L: Lanes>(from: *const Self) -> L::V {
        // SAFETY: the caller has two values there, which are as long as a word.
        L::splat(unsafe { from.cast::<f32>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L::V {
        // SAFETY: the caller has two values a lane there; registers are read at any alignment.
        unsafe { L::load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_single<L: Lanes>(from: *const Self) -> L::V {
        // SAFETY: the caller has the values there.
        unsafe { L::load_halves(from) }
    }

    #[inline(always)]
    unsafe fn store_single<L: Lanes>(to: *mut Self, value: L::V) {
        // SAFETY: the caller has the room there.
        unsafe { L::store_halves(to, value) }
    }

    #[inline(always)]
    fn mul_add<L: Lanes>(a: L::V, b: L::V, c: L::V) -> L::V {
        L::mul_add_pairs(a, b, c)
    }

    #[inline(always)]
    fn single(self) -> f32 {
        widened(self)
    }

    #[inline(always)]
    fn nearest(value: f32) -> Self {
        rounded(value)
    }

    #[inline(always)]
    fn pack_pairs<L: Lanes>(low: &[Self], high: &[Self], to: &mut [f32]) {
        pair_up_halves::<L>(low, high, to);
    }

    #[inline(always)]
    fn of_words(words: &[f32]) -> &[Self] {
        bytemuck::cast_slice(words)
    }
}

/// bfloat16 in a buffer of words, two in each.
#[inline(always)]
pub(crate) fn halves_of(words: &mut [f32]) -> &mut [u16] {
    bytemuck::cast_slice_mut(words)
}

#[inline(always)]
fn pair_up<L: Lanes>(low: &[f32], high: &[f32], to: &mut [f32]) {
    let whole = low.len().min(high.len()).min(to.len()) / L::N * L::N;
    for at in (0..whole).step_by(L::N) {
        // SAFETY: `whole` is at most each length, and a multiple of a register.
        unsafe {
            let pair = L::pair(L::load(low.as_ptr().add(at)), L::load(high.as_ptr().add(at)));
            L::store(to.as_mut_ptr().add(at), pair);
        }
    }
    for (chunk, to) in to[whole..].chunks_mut(MAX_LANES).enumerate() {
        let at = whole + chunk * MAX_LANES;
        let side = |values: &[f32]| {
            let mut lanes = [0.0; MAX_LANES];
            let values = &values[at.min(values.len())..];
            let n = values.len().min(to.len());
            lanes[..n].copy_from_slice(&values[..n]);
            lanes
        };
        let (low, high) = (side(low), side(high));
        let mut pairs = [0.0; MAX_LANES];
        for at in (0..MAX_LANES).step_by(L::N) {
            // SAFETY: the arrays are a whole number of registers long.
            unsafe {
                let pair = L::pair(L::load(low.as_ptr().add(at)), L::load(high.as_ptr().add(at)));
                L::store(pairs.as_mut_ptr().add(at), pair);
            }
        }
        to.copy_from_slice(&pairs[..to.len()]);
    }
}

#[inline(always)]
fn pair_up_halves<L: Lanes>(low: &[u16], high: &[u16], to: &mut [f32]) {
    let whole = low.len().min(high.len()).min(to.len()) / L::N * L::N;
    for at in (0..whole).step_by(L::N) {
        // SAFETY: `whole` is at most each length, and a multiple of a register.
        unsafe {
            let pair = L::pair_halves(low.as_ptr().add(at), high.as_ptr().add(at));
            L::store(to.as_mut_ptr().add(at), pair);
        }
    }
    for (i, to) in halves_of(&mut to[whole..]).chunks_exact_mut(2).enumerate() {
        to[0] = low.get(whole + i).copied().unwrap_or_default();
        to[1] = high.get(whole + i).copied().unwrap_or_default();
    }
}
