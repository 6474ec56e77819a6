//! Memory that is fetched before it is needed.
#![allow(unsafe_code, reason = "a prefetch is an instruction of its own")]

/// Bytes of a line of memory.
const LINE: usize = 64;

/// Lines of memory that will be needed soon.
pub(crate) struct Lines {
    next: *const u8,
    n_left: usize,
    is_written: bool,
}

impl Lines {
    /// As many bytes as a slice has, from its end on: what will be read after it.
    pub(crate) fn read_after<T>(slice: &[T]) -> Self {
        Self { next: slice.as_ptr_range().end.cast(), n_left: lines_of(slice), is_written: false }
    }

    /// The same for what will be written after it.
    pub(crate) fn written_after<T>(slice: &[T]) -> Self {
        Self { is_written: true, ..Self::read_after(slice) }
    }

    /// How many are left to fetch.
    pub(crate) fn len(&self) -> usize {
        self.n_left
    }

    /// Fetches the next `n`, or what is left.
    #[inline(always)]
    pub(crate) fn fetch(&mut self, n: usize) {
        for _ in 0..n.min(self.n_left) {
            if self.is_written {
                prefetch_to_write(self.next)
            } else {
                prefetch_to_read(self.next)
            }
            self.next = self.next.wrapping_add(LINE);
            self.n_left -= 1;
        }
    }
}

/// Whether the value that is `at` values after one that begins a line begins a line as well.
#[inline(always)]
pub(crate) fn begins_line<E>(at: usize) -> bool {
    (at * size_of::<E>()).is_multiple_of(LINE)
}

/// Begins to fetch the line of the value that is `at` values after the first, which may be outside of the slice, to all of a
/// core's caches.
#[inline(always)]
pub(crate) fn prefetch<E>(values: &[E], at: usize) {
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

fn lines_of<T>(slice: &[T]) -> usize {
    std::mem::size_of_val(slice).div_ceil(LINE)
}

/// To a core's second-level cache. Any address will do: one that is not there is ignored.
#[inline(always)]
fn prefetch_to_read(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is part of x86-64, changes nothing but caches, and ignores addresses that it cannot read.
    unsafe {
        std::arch::asm!("prefetcht1 [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The same, taken from all other cores.
#[inline(always)]
fn prefetch_to_write(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above; a processor of x86-64 that does not know the instruction does nothing.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
