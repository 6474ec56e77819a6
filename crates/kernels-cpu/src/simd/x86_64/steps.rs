//! Methods of the registers of x86-64 that take several instructions.
#![allow(unsafe_code, reason = "registers are read and written through pointers")]

use std::{
    arch::x86_64::{
        __m256, __m256bh, __m256i, __m512, __m512bh, __m512i, _CMP_GT_OQ, _mm256_add_epi32, _mm256_and_ps,
        _mm256_blendv_ps, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_loadu_ps,
        _mm256_loadu_si256, _mm256_permute2f128_ps, _mm256_set1_epi32, _mm256_setzero_ps, _mm256_shuffle_ps,
        _mm256_slli_epi32, _mm256_storeu_ps, _mm256_storeu_si256, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
        _mm512_add_epi32, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
        _mm512_cmplt_epi32_mask, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh,
        _mm512_dpbf16_ps, _mm512_mask_blend_ps, _mm512_maskz_mov_ps, _mm512_mullo_epi32, _mm512_or_si512,
        _mm512_permutexvar_epi16, _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setzero_ps,
        _mm512_setzero_si512, _mm512_slli_epi32,
    },
    mem::transmute,
};

#[cfg(doc)]
use super::super::Lanes;
use super::super::lanes::TRANSPOSED;

#[inline]
#[target_feature(enable = "avx512bf16,avx512f")]
pub(super) fn mul_add_pairs_avx512(a: __m512, b: __m512, c: __m512) -> __m512 {
    // SAFETY: both types are 512 bits, all of which are meant.
    let (a, b) = unsafe { (transmute::<__m512, __m512bh>(a), transmute::<__m512, __m512bh>(b)) };
    _mm512_dpbf16_ps(c, a, b)
}

#[inline]
#[target_feature(enable = "avx512bf16,avx512bw,avx512f")]
pub(super) fn pair_avx512(low: __m512, high: __m512) -> __m512 {
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
pub(super) unsafe fn pair_halves_avx512(low: *const u16, high: *const u16) -> __m512 {
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
pub(super) unsafe fn load_halves_avx512(from: *const u16) -> __m512 {
    // SAFETY: the caller has sixteen values there; the instruction reads at any alignment.
    let halves = unsafe { _mm256_loadu_si256(from.cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
}

/// # Safety
///
/// As [`Lanes::store_halves`].
#[inline]
#[target_feature(enable = "avx512bf16,avx512f")]
pub(super) unsafe fn store_halves_avx512(to: *mut u16, value: __m512) {
    let halves = _mm512_cvtneps_pbh(value);
    // SAFETY: both types are 256 bits, all of which are meant, and the caller has room for them.
    unsafe { _mm256_storeu_si256(to.cast(), transmute::<__m256bh, __m256i>(halves)) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn power_of_two_avx2(n: __m256) -> __m256 {
    let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
    _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(1.0_f32.to_bits().cast_signed())))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn by_sign_avx2(x: __m256, below: __m256, above: __m256) -> __m256 {
    _mm256_blendv_ps(above, below, x)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn power_of_two_avx512(n: __m512) -> __m512 {
    let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(n));
    _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(1.0_f32.to_bits().cast_signed())))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn by_sign_avx512(x: __m512, below: __m512, above: __m512) -> __m512 {
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
pub(super) unsafe fn transpose_block(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    let mut rows = [_mm256_setzero_ps(); TRANSPOSED];
    for (i, row) in rows.iter_mut().enumerate() {
        // SAFETY: the caller has `TRANSPOSED` rows of `TRANSPOSED` values there.
        *row = unsafe { _mm256_loadu_ps(from.add(i * from_row)) };
    }
    let mut pairs = [_mm256_setzero_ps(); TRANSPOSED];
    let mut fours = [_mm256_setzero_ps(); TRANSPOSED];
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
        // SAFETY: the caller has `TRANSPOSED` rows of `TRANSPOSED` values there.
        unsafe {
            _mm256_storeu_ps(to.add(i * to_row), low);
            _mm256_storeu_ps(to.add((i + 4) * to_row), high);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn where_positive_avx2(test: __m256, value: __m256) -> __m256 {
    _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(test, _mm256_setzero_ps()), value)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn where_positive_avx512(test: __m512, value: __m512) -> __m512 {
    _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(test, _mm512_setzero_ps()), value)
}
