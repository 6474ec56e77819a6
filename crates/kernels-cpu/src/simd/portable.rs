//! Registers as arrays, for any machine, and to test the others against.
#![allow(unsafe_code, reason = "`Lanes` reads and writes through pointers")]

use super::{Kernel, Lanes, lanes::TRANSPOSED};

pub(super) type Portable = Arrays<8, 4>;
/// Registers of the shape of AVX-512's, so that a machine without them can test what depends on the shape.
#[cfg(all(test, portable_wide))]
pub(super) type PortableWide = Arrays<16, 8>;

/// Registers of `N` values, as many as `ROWS` rows take.
pub(super) struct Arrays<const N: usize, const ROWS: usize>;

/// As `std::array::from_fn`, of which parts stay calls where a compiler does not optimize across the pieces of a crate.
#[inline(always)]
fn each<const N: usize>(value: impl Fn(usize) -> f32) -> [f32; N] {
    let mut values = [0.0; N];
    for (i, place) in values.iter_mut().enumerate() {
        *place = value(i);
    }
    values
}

impl<const N: usize, const ROWS: usize> Lanes for Arrays<N, ROWS> {
    type V = [f32; N];
    const N: usize = N;
    const ROWS: usize = ROWS;

    #[inline(never)]
    fn outlined<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Self>()
    }

    #[inline(always)]
    fn zero() -> Self::V {
        [0.0; N]
    }

    #[inline(always)]
    fn splat(value: f32) -> Self::V {
        [value; N]
    }

    #[inline(always)]
    fn add(a: Self::V, b: Self::V) -> Self::V {
        each(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(a: Self::V, b: Self::V) -> Self::V {
        each(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(a: Self::V, b: Self::V) -> Self::V {
        each(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(a: Self::V, b: Self::V) -> Self::V {
        each(|i| a[i] / b[i])
    }

    #[inline(always)]
    fn max(a: Self::V, b: Self::V) -> Self::V {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(a: Self::V, b: Self::V) -> Self::V {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Not `f32::mul_add`, which is a call into the C library where the machine has no such instruction.
        each(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn power_of_two(n: Self::V) -> Self::V {
        each(|i| f32::from_bits((n[i].to_bits() << 23).wrapping_add(1.0_f32.to_bits())))
    }

    #[inline(always)]
    fn by_sign(x: Self::V, below: Self::V, above: Self::V) -> Self::V {
        each(|i| if x[i].is_sign_negative() { below[i] } else { above[i] })
    }

    #[inline(always)]
    fn where_positive(test: Self::V, value: Self::V) -> Self::V {
        each(|i| if test[i] > 0.0 { value[i] } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: the caller has `N` readable values there, and `[f32; N]` needs the alignment of `f32` only.
        unsafe { from.cast::<[f32; N]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::V) {
        // SAFETY: the caller has `N` writable values there.
        unsafe { to.cast::<[f32; N]>().write_unaligned(value) }
    }

    #[inline(always)]
    unsafe fn transpose_block(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        for row in 0..TRANSPOSED {
            for column in 0..TRANSPOSED {
                // SAFETY: `row` and `column` are inside the block that the caller has on both sides.
                unsafe { *to.add(column * to_row + row) = *from.add(row * from_row + column) };
            }
        }
    }
}
