//! The registers of x86-64: AVX2 with FMA, and AVX-512.
//!
//! The types of [`Lanes`] are private to this module. Whoever has a value of [`Avx2`], which [`Avx2::detect`] alone makes, can
//! have a kernel run with those of AVX2; and so on.
#![allow(unsafe_code, reason = "instructions that not every machine has")]

mod steps;

use std::arch::x86_64::{
    __m256, __m512, _mm256_add_ps, _mm256_div_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm256_sub_ps,
    _mm512_add_ps, _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps,
};

use self::steps::{
    by_sign_avx2, by_sign_avx512, load_halves_avx512, mul_add_pairs_avx512, pair_avx512, pair_halves_avx512,
    power_of_two_avx2, power_of_two_avx512, store_halves_avx512, transpose_block, where_positive_avx2,
    where_positive_avx512,
};
use super::{Kernel, Lanes};

/// That the machine has AVX2 and FMA.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx2(());

impl Avx2 {
    /// Lanes of a register.
    pub(super) const N: usize = Avx2Lanes::N;

    /// The proof, if the machine has them.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// Does the work with them.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the machine has AVX2 and FMA: `self` is made by `detect` only.
        unsafe { compiled_for_avx2(kernel) }
    }
}

/// That the machine has AVX-512F, and what [`Avx2`] says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx512(());

impl Avx512 {
    /// Lanes of a register.
    pub(super) const N: usize = Avx512Lanes::N;

    /// The proof, if the machine has them.
    pub(super) fn detect() -> Option<Self> {
        (Avx2::detect().is_some() && is_x86_feature_detected!("avx512f")).then_some(Self(()))
    }

    /// Does the work with them.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the machine has AVX-512F, AVX2 and FMA: `self` is made by `detect` only.
        unsafe { compiled_for_avx512(kernel) }
    }
}

/// That the machine has AVX-512BW and AVX-512 BF16, and what [`Avx512`] says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx512Bf16(());

impl Avx512Bf16 {
    /// Lanes of a register.
    pub(super) const N: usize = Avx512Bf16Lanes::N;

    /// The proof, if the machine has them.
    pub(super) fn detect() -> Option<Self> {
        (Avx512::detect().is_some()
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16"))
        .then_some(Self(()))
    }

    /// Does the work with them.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the machine has AVX-512F, AVX-512BW, AVX-512 BF16, AVX2 and FMA: `self` is made by `detect` only.
        unsafe { compiled_for_avx512_bf16(kernel) }
    }
}

/// Eight lanes, sixteen registers.
struct Avx2Lanes;
/// Sixteen lanes, thirty-two registers.
struct Avx512Lanes;
/// [`Avx512Lanes`] that multiply pairs of bfloat16.
struct Avx512Bf16Lanes;

#[target_feature(enable = "avx2,fma")]
fn compiled_for_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2Lanes>()
}

#[target_feature(enable = "avx512f,avx2,fma")]
fn compiled_for_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512Lanes>()
}

#[target_feature(enable = "avx512bf16,avx512bw,avx512f,avx2,fma")]
fn compiled_for_avx512_bf16<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512Bf16Lanes>()
}

/// One method a line: each is one instruction, which `run` of the family has made sure of.
macro_rules! lanes {
    ($lanes:ty, $v:ty, $n:literal, $rows:literal,
     $compiled:ident, $zero:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $max:ident, $min:ident,
     $mul_add:ident, $power_of_two:ident, $by_sign:ident, $where_positive:ident, $load:ident, $store:ident $(, $own:item)*) => {
        impl Lanes for $lanes {
            type V = $v;
            const N: usize = $n;
            const ROWS: usize = $rows;

            #[inline(always)]
            fn outlined<K: Kernel>(kernel: K) -> K::Output {
                // SAFETY: the lanes come out of `run` only, on a machine that has the instructions.
                unsafe { $compiled(kernel) }
            }

            #[inline(always)]
            fn zero() -> Self::V {
                // SAFETY: the lanes come out of `run` only, on a machine that has the instruction.
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
            fn min(a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: as above.
                unsafe { $min(a, b) }
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
            fn where_positive(test: Self::V, value: Self::V) -> Self::V {
                // SAFETY: as above.
                unsafe { $where_positive(test, value) }
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
    Avx2Lanes,
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
    _mm256_min_ps,
    _mm256_fmadd_ps,
    power_of_two_avx2,
    by_sign_avx2,
    where_positive_avx2,
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
            _mm512_min_ps,
            _mm512_fmadd_ps,
            power_of_two_avx512,
            by_sign_avx512,
            where_positive_avx512,
            _mm512_loadu_ps,
            _mm512_storeu_ps
            $(, $own)*
        );
    };
}

avx512_lanes!(Avx512Lanes, compiled_for_avx512);
avx512_lanes!(
    Avx512Bf16Lanes,
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
