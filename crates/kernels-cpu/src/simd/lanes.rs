//! What a kernel needs of a vector register.
#![allow(unsafe_code, reason = "registers are read and written through pointers")]

use super::{
    Kernel,
    bf16::{rounded, widened},
};

/// A vector register of `f32`s.
///
/// Their implementations are `#[inline(always)]`, so that they become single instructions inside a kernel.
///
/// The methods are safe to call, although not every machine has the instructions: no code can name lanes that need more than
/// every machine has, since they are private to their modules. It gets them as the type parameter of [`Kernel::run`] or
/// [`Kernel::run`]'s callees, and that is called with them in one place each, by a value that a look at the machine has made:
/// [`Family`](super::Family) holds it. Whatever code does with the type from there on, it does on a machine that has the
/// instructions.
pub(crate) trait Lanes: Sized + 'static {
    /// The register.
    type V: Copy;
    /// Values in a register.
    const N: usize;
    /// Rows of a full tile, at most `N`: as many as the registers hold accumulators for, two to a row.
    const ROWS: usize;
    /// To be evaluated where an array of [`MAX_LANES`] takes a register: code for lanes that do not fit is not compiled.
    const FITS: () = assert!(Self::N <= MAX_LANES && Self::N.is_power_of_two() && Self::ROWS <= Self::N);

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
    /// The greater; `b` where either is not a number, and where both are zeros, of whichever sign.
    fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The lesser; `b` where either is not a number, and where both are zeros, of whichever sign.
    fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `2^n` for `n` in the lowest bits of the representation, between -126 and 127.
    fn power_of_two(n: Self::V) -> Self::V;
    /// `below` where the sign of `x` is negative, `above` elsewhere.
    fn by_sign(x: Self::V, below: Self::V, above: Self::V) -> Self::V;
    /// `value` where `test` is above 0; zeros elsewhere, and where `test` is not a number.
    fn where_positive(test: Self::V, value: Self::V) -> Self::V;
    /// `a.low * b.low + a.high * b.high + c`, where a lane of `a` and of `b` holds two bfloat16 values.
    ///
    /// Families round between these operations as their instructions do.
    #[inline(always)]
    fn mul_add_pairs(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let ((a_low, a_high), (b_low, b_high)) = (halves::<Self>(a), halves::<Self>(b));
        Self::mul_add(a_low, b_low, Self::mul_add(a_high, b_high, c))
    }
    /// Two values a lane, rounded to bfloat16: `low` and `high`, as they lie in memory one after the other.
    #[inline(always)]
    fn pair(low: Self::V, high: Self::V) -> Self::V {
        pair_of::<Self>(low, high)
    }
    /// [`pair`](Self::pair) of values that are bfloat16 already.
    ///
    /// # Safety
    ///
    /// `N` values can be read from `low` and from `high`.
    #[inline(always)]
    unsafe fn pair_halves(low: *const u16, high: *const u16) -> Self::V {
        // SAFETY: the caller has the values there.
        unsafe { Self::pair(Self::load_halves(low), Self::load_halves(high)) }
    }
    /// Reads `N` bfloat16 values.
    ///
    /// # Safety
    ///
    /// `N` values can be read from `from`.
    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Self::V {
        const { Self::FITS };
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: the caller has the values there, and the array has room for a register, asserted above.
        unsafe {
            for (i, lane) in lanes[..Self::N].iter_mut().enumerate() {
                *lane = widened(*from.add(i));
            }
            Self::load(lanes.as_ptr())
        }
    }
    /// Writes `N` values, rounded to bfloat16; what is smaller than its smallest normal number, 1e-38, may become zero.
    ///
    /// # Safety
    ///
    /// `N` values can be written to `to`.
    #[inline(always)]
    unsafe fn store_halves(to: *mut u16, value: Self::V) {
        const { Self::FITS };
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: the array has room for a register, asserted above, and the caller has it there.
        unsafe {
            Self::store(lanes.as_mut_ptr(), value);
            for (i, &lane) in lanes[..Self::N].iter().enumerate() {
                *to.add(i) = rounded(lane);
            }
        }
    }
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
    /// `to[column][row] = from[row][column]` for a block of [`TRANSPOSED`] rows and columns.
    ///
    /// # Safety
    ///
    /// `TRANSPOSED` rows of `TRANSPOSED` values, `from_row` apart, can be read from `from`, and likewise written to `to`.
    unsafe fn transpose_block(from: *const f32, from_row: usize, to: *mut f32, to_row: usize);
}

/// Rows and columns of what [`Lanes::transpose_block`] transposes.
pub(crate) const TRANSPOSED: usize = 8;

/// Room for the widest register.
pub(crate) const MAX_LANES: usize = 16;

/// The bfloat16 values that lie first and second in each lane, in single precision.
#[inline(always)]
fn halves<L: Lanes>(pairs: L::V) -> (L::V, L::V) {
    const { L::FITS };
    let [mut low, mut high] = [[0.0; MAX_LANES]; 2];
    // SAFETY: the arrays have room for a register, asserted above.
    unsafe {
        L::store(low.as_mut_ptr(), pairs);
        for (low, high) in low.iter_mut().zip(&mut high) {
            let [first, second] = words_of(*low);
            (*low, *high) = (widened(first), widened(second));
        }
        (L::load(low.as_ptr()), L::load(high.as_ptr()))
    }
}

#[inline(always)]
fn pair_of<L: Lanes>(low: L::V, high: L::V) -> L::V {
    const { L::FITS };
    let [mut lows, mut highs] = [[0.0; MAX_LANES]; 2];
    // SAFETY: the arrays have room for a register, asserted above.
    unsafe {
        L::store(lows.as_mut_ptr(), low);
        L::store(highs.as_mut_ptr(), high);
        for (low, &high) in lows.iter_mut().zip(&highs) {
            *low = of_words([rounded(*low), rounded(high)]);
        }
        L::load(lows.as_ptr())
    }
}

/// The halves of a value's memory, in its order.
#[inline(always)]
fn words_of(value: f32) -> [u16; 2] {
    let [a, b, c, d] = value.to_ne_bytes();
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])]
}

#[inline(always)]
fn of_words([first, second]: [u16; 2]) -> f32 {
    let ([a, b], [c, d]) = (first.to_ne_bytes(), second.to_ne_bytes());
    f32::from_ne_bytes([a, b, c, d])
}
