//! The registers of x86-64: AVX2 with FMA, and AVX-512.
#![allow(unsafe_code, reason = "instructions that not every machine has")]

use std::{
    arch::x86_64::{
        __m256, __m256bh, __m256i, __m512, __m512bh, __m512i, _mm256_add_epi32, _mm256_add_ps,
        _mm256_blendv_ps, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_div_ps, _mm256_fmadd_ps,
        _mm256_loadu_ps, _mm256_loadu_si256, _mm256_max_ps, _mm256_mul_ps, _mm256_permute2f128_ps,
        _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_slli_epi32,
        _mm256_storeu_ps, _mm256_storeu_si256, _mm256_sub_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
        _mm512_add_epi32, _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cmplt_epi32_mask,
        _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_div_ps, _mm512_dpbf16_ps,
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_blend_ps, _mm512_max_ps, _mm512_mul_ps,
        _mm512_mullo_epi32, _mm512_or_si512, _mm512_permutexvar_epi16, _mm512_set1_epi32, _mm512_set1_ps,
        _mm512_setr_epi32, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_storeu_ps,
        _mm512_sub_ps,
    },
    mem::transmute,
};

use super::{Kernel, Lanes, lanes::BLOCK};

/// Eight lanes, sixteen registers.
pub(super) struct Avx2;
/// Sixteen lanes, thirty-two registers.
pub(super) struct Avx512;
/// [`Avx512`] that multiplies pairs of bfloat16.
pub(super) struct Avx512Bf16;

/// Does the work with AVX2 and FMA.
pub(super) fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    assert!(
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        "the family is made by `Family::available` only"
    );
    // SAFETY: the machine has AVX2 and FMA, asserted on the line above.
    unsafe { compiled_for_avx2(kernel) }
}

/// Does the work with AVX-512.
pub(super) fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    assert!(
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma"),
        "the family is made by `Family::available` only"
    );
    // SAFETY: the machine has AVX-512F, AVX2 and FMA, asserted on the line above.
    unsafe { compiled_for_avx512(kernel) }
}

/// Does the work with AVX-512 and its products of bfloat16.
pub(super) fn run_avx512_bf16<K: Kernel>(kernel: K) -> K::Output {
    assert!(has_avx512_bf16(), "the family is made by `Family::available` only");
    // SAFETY: the machine has AVX-512F, AVX-512BW, AVX-512 BF16, AVX2 and FMA, asserted on the line above.
    unsafe { compiled_for_avx512_bf16(kernel) }
}

/// Whether the machine multiplies pairs of bfloat16.
pub(super) fn has_avx512_bf16() -> bool {
    is_x86_feature_detected!("avx512bf16")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
}

#[target_feature(enable = "avx2,fma")]
fn compiled_for_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

#[target_feature(enable = "avx512f,avx2,fma")]
fn compiled_for_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512>()
}

#[target_feature(enable = "avx512bf16,avx512bw,avx512f,avx2,fma")]
fn compiled_for_avx512_bf16<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512Bf16>()
}

/// One method a line: each is one instruction, whose family `run_*` has made sure of.
macro_rules! lanes {
    ($lanes:ty, $v:ty, $n:literal, $rows:literal,
     $compiled:ident, $zero:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $max:ident,
     $mul_add:ident, $power_of_two:ident, $by_sign:ident, $load:ident, $store:ident $(, $own:item)*) => {
        impl Lanes for $lanes {
            type V = $v;
            const N: usize = $n;
            const ROWS: usize = $rows;

            #[inline(always)]
            fn outlined<K: Kernel>(kernel: K) -> K::Output {
                // SAFETY: the type is private to `run_*`, which has checked that the machine has the instructions.
                unsafe { $compiled(kernel) }
            }

            #[inline(always)]
            fn zero() -> Self::V {
                // SAFETY: the type is private to `run_*`, which has checked that the machine has the instruction.
                unsafe { $zero() }
            }

            #[inline(always)]
            fn splat(value: f32) -> Self::V {
                // SAFETY: as above.
                unsafe { $splat(value) }
            }

            #[inline(always)]
            fn add(a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: as above.
                unsafe { $add(a, b) }
            }

            #[inline(always)]
            fn sub(a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: as above.
                unsafe { $sub(a, b) }
            }

            #[inline(always)]
            fn mul(a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: as above.
                unsafe { $mul(a, b) }
            }

            #[inline(always)]
            fn div(a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: as above.
                unsafe { $div(a, b) }
            }

            #[inline(always)]
            fn max(a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: as above.
                unsafe { $max(a, b) }
            }

            #[inline(always)]
            fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                // SAFETY: as above.
                unsafe { $mul_add(a, b, c) }
            }

            #[inline(always)]
            fn power_of_two(n: Self::V) -> Self::V {
                // SAFETY: as above.
                unsafe { $power_of_two(n) }
            }

            #[inline(always)]
            fn by_sign(x: Self::V, below: Self::V, above: Self::V) -> Self::V {
                // SAFETY: as above.
                unsafe { $by_sign(x, below, above) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self::V {
                // SAFETY: as above, and the caller has the values there.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn store(to: *mut f32, value: Self::V) {
                // SAFETY: as above, and the caller has the room there.
                unsafe { $store(to, value) }
            }

            #[inline(always)]
            unsafe fn transpose_block(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
                // SAFETY: as above: all families have AVX2, and the caller has both blocks.
                unsafe { transpose_block(from, from_row, to, to_row) }
            }

            $($own)*
        }
    };
}

// Six rows are twelve accumulators; two registers hold a row of the panel and one the broadcast: fifteen of sixteen.
lanes!(
    Avx2,
    __m256,
    8,
    6,
    compiled_for_avx2,
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_max_ps,
    _mm256_fmadd_ps,
    power_of_two_avx2,
    by_sign_avx2,
    _mm256_loadu_ps,
    _mm256_storeu_ps
);
/// [`lanes`] with what all of AVX-512 have in common.
macro_rules! avx512_lanes {
    ($lanes:ty, $compiled:ident $(, $own:item)*) => {
        // Twelve rows fit as well, and were slower: the compiler spills.
        lanes!(
            $lanes,
            __m512,
            16,
            8,
            $compiled,
            _mm512_setzero_ps,
            _mm512_set1_ps,
            _mm512_add_ps,
            _mm512_sub_ps,
            _mm512_mul_ps,
            _mm512_div_ps,
            _mm512_max_ps,
            _mm512_fmadd_ps,
            power_of_two_avx512,
            by_sign_avx512,
            _mm512_loadu_ps,
            _mm512_storeu_ps
            $(, $own)*
        );
    };
}

avx512_lanes!(Avx512, compiled_for_avx512);
avx512_lanes!(
    Avx512Bf16,
    compiled_for_avx512_bf16,
    #[inline(always)]
    fn mul_add_pairs(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { mul_add_pairs_avx512(a, b, c) }
    },
    #[inline(always)]
    fn pair(low: __m512, high: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { pair_avx512(low, high) }
    },
    #[inline(always)]
    unsafe fn pair_halves(low: *const u16, high: *const u16) -> __m512 {
        // SAFETY: as above, and the caller has the values there.
        unsafe { pair_halves_avx512(low, high) }
    },
    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> __m512 {
        // SAFETY: as above, and the caller has the values there.
        unsafe { load_halves_avx512(from) }
    },
    #[inline(always)]
    unsafe fn store_halves(to: *mut u16, value: __m512) {
        // SAFETY: as above, and the caller has the room there.
        unsafe { store_halves_avx512(to, value) }
    }
);

#[inline]
#[target_feature(enable = "avx512bf16,avx512f")]
fn mul_add_pairs_avx512(a: __m512, b: __m512, c: __m512) -> __m512 {
    // SAFETY: both types are 512 bits, all of which are meant.
    let (a, b) = unsafe { (transmute::<__m512, __m512bh>(a), transmute::<__m512, __m512bh>(b)) };
    _mm512_dpbf16_ps(c, a, b)
}

#[inline]
#[target_feature(enable = "avx512bf16,avx512bw,avx512f")]
fn pair_avx512(low: __m512, high: __m512) -> __m512 {
    // The instruction puts all of `low` before all of `high`.
    let halves = _mm512_cvtne2ps_pbh(high, low);
    // SAFETY: both types are 512 bits, all of which are meant.
    let halves = unsafe { transmute::<__m512bh, __m512i>(halves) };
    // Word 2 i is word i, and word 2 i + 1 is word 16 + i.
    let order = _mm512_add_epi32(
        _mm512_mullo_epi32(
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
            _mm512_set1_epi32(0x0001_0001),
        ),
        _mm512_set1_epi32(0x0010_0000),
    );
    _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, halves))
}

/// # Safety
///
/// As [`Lanes::pair_halves`].
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn pair_halves_avx512(low: *const u16, high: *const u16) -> __m512 {
    // SAFETY: the caller has sixteen values in both places; the instruction reads at any alignment.
    let (low, high) = unsafe { (_mm256_loadu_si256(low.cast()), _mm256_loadu_si256(high.cast())) };
    let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
    _mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(low), high))
}

/// # Safety
///
/// As [`Lanes::load_halves`].
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_halves_avx512(from: *const u16) -> __m512 {
    // SAFETY: the caller has sixteen values there; the instruction reads at any alignment.
    let halves = unsafe { _mm256_loadu_si256(from.cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
}

/// # Safety
///
/// As [`Lanes::store_halves`].
#[inline]
#[target_feature(enable = "avx512bf16,avx512f")]
unsafe fn store_halves_avx512(to: *mut u16, value: __m512) {
    let halves = _mm512_cvtneps_pbh(value);
    // SAFETY: both types are 256 bits, all of which are meant, and the caller has room for them.
    unsafe { _mm256_storeu_si256(to.cast(), transmute::<__m256bh, __m256i>(halves)) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn power_of_two_avx2(n: __m256) -> __m256 {
    let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
    _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(1.0_f32.to_bits().cast_signed())))
}

#[inline]
#[target_feature(enable = "avx2")]
fn by_sign_avx2(x: __m256, below: __m256, above: __m256) -> __m256 {
    _mm256_blendv_ps(above, below, x)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn power_of_two_avx512(n: __m512) -> __m512 {
    let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(n));
    _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(1.0_f32.to_bits().cast_signed())))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn by_sign_avx512(x: __m512, below: __m512, above: __m512) -> __m512 {
    let is_negative = _mm512_cmplt_epi32_mask(_mm512_castps_si512(x), _mm512_setzero_si512());
    _mm512_mask_blend_ps(is_negative, above, below)
}

/// Pairs of rows, then pairs of pairs, then halves of registers change places.
///
/// # Safety
///
/// As [`Lanes::transpose_block`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transpose_block(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    let mut rows = [_mm256_setzero_ps(); BLOCK];
    for (i, row) in rows.iter_mut().enumerate() {
        // SAFETY: the caller has `BLOCK` rows of `BLOCK` values there.
        *row = unsafe { _mm256_loadu_ps(from.add(i * from_row)) };
    }
    let mut pairs = [_mm256_setzero_ps(); BLOCK];
    let mut fours = [_mm256_setzero_ps(); BLOCK];
    for i in 0..4 {
        pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
    }
    for i in 0..2 {
        let [a, b, c, d] = [pairs[4 * i], pairs[4 * i + 1], pairs[4 * i + 2], pairs[4 * i + 3]];
        fours[4 * i] = _mm256_shuffle_ps::<0x44>(a, c);
        fours[4 * i + 1] = _mm256_shuffle_ps::<0xee>(a, c);
        fours[4 * i + 2] = _mm256_shuffle_ps::<0x44>(b, d);
        fours[4 * i + 3] = _mm256_shuffle_ps::<0xee>(b, d);
    }
    for i in 0..4 {
        let low = _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
        let high = _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
        // SAFETY: the caller has `BLOCK` rows of `BLOCK` values there.
        unsafe {
            _mm256_storeu_ps(to.add(i * to_row), low);
            _mm256_storeu_ps(to.add((i + 4) * to_row), high);
        }
    }
}
