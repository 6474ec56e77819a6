//! How the allocator treats the memory of a step of training when the step is over. Start at [`keep_memory`].
#![allow(unsafe_code, reason = "mimalloc's settings are functions of C")]
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

use libmimalloc_sys::{mi_option_set_default, mi_option_t};
pub use mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which libmimalloc-sys does not name.
const PURGE_DELAY: mi_option_t = 15;

/// Lets a program whose allocator is mimalloc keep freed memory.
///
/// Each step frees what the last one did, and wants it back. mimalloc gives memory that has been free for a second back to
/// the system, which then hands it out again page by page, zeroed: a tenth of the time of a step of a ViT, a twentieth of a
/// ResNet-50's, and a fourth of all work of the processor. Told not to, it keeps what the largest step took.
///
/// mimalloc reads the environment first: `MIMALLOC_PURGE_DELAY=1000`, its own default in milliseconds, has its way. To be
/// called at the start of `main`, as what is freed before is treated as usual.
pub fn keep_memory() {
    // SAFETY: mimalloc checks the number of the option, and stores one aligned word. A thread that frees memory meanwhile
    // reads the old value or the new one, and either will do.
    unsafe { mi_option_set_default(PURGE_DELAY, -1) }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    #[test]
    fn freed_memory_stays_unless_the_environment_says_otherwise() {
        // SAFETY: reads one word.
        let purge_delay = || unsafe { mi_option_get(PURGE_DELAY) };
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            // mimalloc's own default; anything else is another option, in a version that numbers them anew.
            assert_eq!(purge_delay(), 1000);
            keep_memory();
            assert_eq!(purge_delay(), -1);
        }
    }
}
