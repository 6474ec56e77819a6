//! The registers of 64-bit ARM: NEON.
//!
//! The type of [`Lanes`] is private to this module. Whoever has a value of [`Neon`], which [`Neon::detect`] alone makes, can
//! have a kernel run with it.
//!
//! Products of bfloat16 have instructions on newer machines (`bfdot`), which stable Rust does not offer: pairs are multiplied
//! as single values.
#![allow(unsafe_code, reason = "instructions that not every machine has")]

use std::arch::{
    aarch64::{
        float32x4_t, uint32x4_t, vaddq_f32, vaddq_s32, vaddq_u32, vandq_u32, vbslq_f32, vbslq_u32, vceqq_f32,
        vcgtq_f32, vcgtzq_f32, vcltq_f32, vcltzq_s32, vcombine_u16, vdivq_f32, vdupq_n_f32, vdupq_n_s32,
        vdupq_n_u32, vfmaq_f32, vget_low_u16, vld1q_f32, vld1q_u16, vmovl_high_u16, vmovl_u16, vmulq_f32,
        vorrq_u32, vreinterpretq_f32_f64, vreinterpretq_f32_s32, vreinterpretq_f32_u16,
        vreinterpretq_f32_u32, vreinterpretq_f64_f32, vreinterpretq_s32_f32, vreinterpretq_u32_f32,
        vshlq_n_s32, vshlq_n_u32, vshrn_n_u32, vshrq_n_u32, vsriq_n_u32, vst1q_f32, vst1q_u16, vsubq_f32,
        vtrn1q_f32, vtrn1q_f64, vtrn2q_f32, vtrn2q_f64, vzip1q_u16, vzip2q_u16,
    },
    is_aarch64_feature_detected,
};

use super::{Kernel, Lanes, lanes::TRANSPOSED};

/// That the machine has NEON, as nearly all of its kind do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Neon(());

impl Neon {
    /// Lanes of a register.
    pub(super) const N: usize = NeonLanes::N;

    /// The proof, if the machine has it.
    pub(super) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    /// Does the work with it.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the machine has NEON: `self` is made by `detect` only.
        unsafe { compiled_for_neon(kernel) }
    }
}

/// Eight lanes in two of thirty-two registers: one of four would want twelve rows of two for as many independent sums.
struct NeonLanes;

type Two = [float32x4_t; 2];

#[target_feature(enable = "neon")]
fn compiled_for_neon<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<NeonLanes>()
}

/// A function of NEON, once for each of the two registers.
macro_rules! each {
    ($work:ident $(, $operand:expr)*) => {
        // SAFETY: the lanes come out of `run` only, on a machine that has the instruction.
        unsafe { [$work($($operand[0]),*), $work($($operand[1]),*)] }
    };
}

impl Lanes for NeonLanes {
    type V = Two;
    const N: usize = 8;
    // Twenty-four registers of sums; four hold a row of the panel and one the broadcast: twenty-nine of thirty-two.
    const ROWS: usize = 6;

    #[inline(always)]
    fn outlined<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the lanes come out of `run` only, on a machine that has the instructions.
        unsafe { compiled_for_neon(kernel) }
    }

    #[inline(always)]
    fn zero() -> Two {
        Self::splat(0.0)
    }

    #[inline(always)]
    fn splat(value: f32) -> Two {
        each!(vdupq_n_f32, [value, value])
    }

    #[inline(always)]
    fn add(a: Two, b: Two) -> Two {
        each!(vaddq_f32, a, b)
    }

    #[inline(always)]
    fn sub(a: Two, b: Two) -> Two {
        each!(vsubq_f32, a, b)
    }

    #[inline(always)]
    fn mul(a: Two, b: Two) -> Two {
        each!(vmulq_f32, a, b)
    }

    #[inline(always)]
    fn div(a: Two, b: Two) -> Two {
        each!(vdivq_f32, a, b)
    }

    #[inline(always)]
    fn max(a: Two, b: Two) -> Two {
        each!(greater, a, b)
    }

    #[inline(always)]
    fn min(a: Two, b: Two) -> Two {
        each!(lesser, a, b)
    }

    #[inline(always)]
    fn mul_add(a: Two, b: Two, c: Two) -> Two {
        each!(vfmaq_f32, c, a, b)
    }

    #[inline(always)]
    fn power_of_two(n: Two) -> Two {
        each!(power_of_two, n)
    }

    #[inline(always)]
    fn by_sign(x: Two, below: Two, above: Two) -> Two {
        each!(by_sign, x, below, above)
    }

    #[inline(always)]
    fn where_positive(test: Two, value: Two) -> Two {
        each!(where_positive, test, value)
    }

    #[inline(always)]
    fn mul_add_pairs(a: Two, b: Two, c: Two) -> Two {
        each!(mul_add_pairs, a, b, c)
    }

    #[inline(always)]
    fn pair(low: Two, high: Two) -> Two {
        each!(pair, low, high)
    }

    #[inline(always)]
    unsafe fn pair_halves(low: *const u16, high: *const u16) -> Two {
        // SAFETY: the caller has eight values in both places, and the lanes come out of `run` only.
        unsafe {
            let (low, high) = (vld1q_u16(low), vld1q_u16(high));
            [vreinterpretq_f32_u16(vzip1q_u16(low, high)), vreinterpretq_f32_u16(vzip2q_u16(low, high))]
        }
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Two {
        // SAFETY: the caller has eight values there, and the lanes come out of `run` only.
        unsafe {
            let halves = vld1q_u16(from);
            [
                vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(vget_low_u16(halves)))),
                vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_high_u16(halves))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store_halves(to: *mut u16, value: Two) {
        let [first, second] = each!(rounded, value);
        // SAFETY: the caller has room for eight values there, and the lanes come out of `run` only.
        unsafe { vst1q_u16(to, vcombine_u16(vshrn_n_u32::<16>(first), vshrn_n_u32::<16>(second))) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Two {
        // SAFETY: the caller has eight values there, and the lanes come out of `run` only.
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Two) {
        // SAFETY: the caller has room for eight values there, and the lanes come out of `run` only.
        unsafe {
            vst1q_f32(to, value[0]);
            vst1q_f32(to.add(4), value[1]);
        }
    }

    #[inline(always)]
    unsafe fn transpose_block(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        for row in (0..TRANSPOSED).step_by(4) {
            for column in (0..TRANSPOSED).step_by(4) {
                // SAFETY: the four rows and columns are inside the block that the caller has on both sides, and the lanes
                // come out of `run` only.
                unsafe {
                    let from = from.add(row * from_row + column);
                    transpose_four(from, from_row, to.add(column * to_row + row), to_row);
                }
            }
        }
    }
}

/// `b` where either is not a number, which the instruction for the maximum does not give.
#[inline]
#[target_feature(enable = "neon")]
fn greater(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vbslq_f32(vcgtq_f32(a, b), a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn lesser(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vbslq_f32(vcltq_f32(a, b), a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn power_of_two(n: float32x4_t) -> float32x4_t {
    let exponent = vshlq_n_s32::<23>(vreinterpretq_s32_f32(n));
    vreinterpretq_f32_s32(vaddq_s32(exponent, vdupq_n_s32(1.0_f32.to_bits().cast_signed())))
}

#[inline]
#[target_feature(enable = "neon")]
fn by_sign(x: float32x4_t, below: float32x4_t, above: float32x4_t) -> float32x4_t {
    vbslq_f32(vcltzq_s32(vreinterpretq_s32_f32(x)), below, above)
}

#[inline]
#[target_feature(enable = "neon")]
fn where_positive(test: float32x4_t, value: float32x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vandq_u32(vcgtzq_f32(test), vreinterpretq_u32_f32(value)))
}

/// The first of two bfloat16 is in the lower half of a word, and each is the upper half of its value.
#[inline]
#[target_feature(enable = "neon")]
fn mul_add_pairs(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
    let low = |pairs| vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(pairs)));
    let upper = vdupq_n_u32(0xffff_0000);
    let high = |pairs| vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pairs), upper));
    vfmaq_f32(vfmaq_f32(c, high(a), high(b)), low(a), low(b))
}

#[inline]
#[target_feature(enable = "neon")]
fn pair(low: float32x4_t, high: float32x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vsriq_n_u32::<16>(rounded(high), rounded(low)))
}

/// Values whose upper halves are the nearest bfloat16, as [`rounded`](super::rounded) has them.
#[inline]
#[target_feature(enable = "neon")]
fn rounded(value: float32x4_t) -> uint32x4_t {
    let bits = vreinterpretq_u32_f32(value);
    let is_odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
    let nearest = vaddq_u32(bits, vaddq_u32(is_odd, vdupq_n_u32(0x7fff)));
    let quiet = vorrq_u32(bits, vdupq_n_u32(0x0040_0000));
    vbslq_u32(vceqq_f32(value, value), nearest, quiet)
}

/// Pairs of rows, then pairs of pairs change places.
///
/// # Safety
///
/// Four rows of four values, `from_row` apart, can be read from `from`, and likewise written to `to`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn transpose_four(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    // SAFETY: the caller has four rows of four values there.
    let row = |i: usize| unsafe { vld1q_f32(from.add(i * from_row)) };
    let (a, b, c, d) = (row(0), row(1), row(2), row(3));
    let even = [vtrn1q_f32(a, b), vtrn1q_f32(c, d)].map(|rows| vreinterpretq_f64_f32(rows));
    let odd = [vtrn2q_f32(a, b), vtrn2q_f32(c, d)].map(|rows| vreinterpretq_f64_f32(rows));
    let columns = [
        vtrn1q_f64(even[0], even[1]),
        vtrn1q_f64(odd[0], odd[1]),
        vtrn2q_f64(even[0], even[1]),
        vtrn2q_f64(odd[0], odd[1]),
    ];
    for (i, column) in columns.into_iter().enumerate() {
        // SAFETY: the caller has room for four rows of four values there.
        unsafe { vst1q_f32(to.add(i * to_row), vreinterpretq_f32_f64(column)) }
    }
}
