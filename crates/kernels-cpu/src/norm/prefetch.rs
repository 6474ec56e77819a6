//! Fetching what is needed soon.
#![allow(unsafe_code, reason = "the instruction takes an address")]

/// Bytes that come from memory together.
const LINE: usize = 64;

/// Whether the value that is `at` values after one that begins a line begins a line as well.
#[inline(always)]
pub(super) fn begins_line<E>(at: usize) -> bool {
    (at * size_of::<E>()).is_multiple_of(LINE)
}

/// Begins to fetch the line of the value that is `at` values after the first, which may be outside of the slice.
#[inline(always)]
pub(super) fn prefetch<E>(values: &[E], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = values.as_ptr().wrapping_add(at).cast();
        // SAFETY: every machine of this architecture has the instruction, which ignores what it cannot fetch.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, at);
}
