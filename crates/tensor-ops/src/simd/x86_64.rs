//! The registers of x86-64: AVX2 with FMA, and AVX-512.
#![allow(unsafe_code, reason = "instructions that not every machine has")]

use std::arch::x86_64::{
    __m256, __m512, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::{Kernel, Lanes};

/// Eight lanes, sixteen registers.
pub(super) struct Avx2;
/// Sixteen lanes, thirty-two registers.
pub(super) struct Avx512;

/// Does the work with AVX2 and FMA.
pub(super) fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    #[target_feature(enable = "avx2,fma")]
    fn compiled_for_avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx2>()
    }
    assert!(
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        "the family is made by `Family::available` only"
    );
    // SAFETY: the machine has AVX2 and FMA, asserted on the line above.
    unsafe { compiled_for_avx2(kernel) }
}

/// Does the work with AVX-512.
pub(super) fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    #[target_feature(enable = "avx512f,avx2,fma")]
    fn compiled_for_avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx512>()
    }
    assert!(
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma"),
        "the family is made by `Family::available` only"
    );
    // SAFETY: the machine has AVX-512F, AVX2 and FMA, asserted on the line above.
    unsafe { compiled_for_avx512(kernel) }
}

/// One method a line: each is one instruction, whose family `run_*` has made sure of.
macro_rules! lanes {
    ($lanes:ty, $v:ty, $n:literal, $rows:literal,
     $zero:ident, $splat:ident, $mul_add:ident, $load:ident, $store:ident) => {
        impl Lanes for $lanes {
            type V = $v;
            const N: usize = $n;
            const ROWS: usize = $rows;

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
            fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                // SAFETY: as above.
                unsafe { $mul_add(a, b, c) }
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
        }
    };
}

// Six rows are twelve accumulators; two registers hold a row of the panel and one the broadcast: fifteen of sixteen.
lanes!(
    Avx2,
    __m256,
    8,
    6,
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps
);
// Twelve rows fit as well, and were slower: the compiler spills.
lanes!(
    Avx512,
    __m512,
    16,
    8,
    _mm512_setzero_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps
);
