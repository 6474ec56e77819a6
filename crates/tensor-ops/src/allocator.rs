//! How the allocator treats the memory of a step when the step is over.
#![allow(unsafe_code, reason = "mimalloc's settings are functions of C")]

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// `mi_option_purge_decommits` of `mimalloc.h`, which libmimalloc-sys does not name.
const PURGE_DECOMMITS: mi_option_t = 5;

/// Lets a program whose allocator is mimalloc keep freed memory until the system asks for it.
///
/// Each step frees what the last one did, and wants it back. mimalloc gives memory that has been free for a second back to
/// the system, which then hands it out again page by page, zeroed: about a tenth of the time of a ViT's step. Told that
/// purged memory stays its own, it only marks it as free to be taken (`MADV_FREE`): almost nothing is handed out twice, and
/// a system short of memory has it at once. The memory that a process seems to use is larger by about a twentieth.
///
/// mimalloc reads the environment first: `MIMALLOC_PURGE_DECOMMITS=1` has its way. To be called at the start of `main`, as
/// what is freed before is treated as usual.
pub fn keep_memory() {
    // SAFETY: mimalloc checks the number of the option, and stores one aligned word. A thread that frees memory meanwhile
    // reads the old value or the new one, and either will do.
    unsafe { mi_option_set_default(PURGE_DECOMMITS, 0) }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    #[test]
    fn purged_memory_stays_unless_the_environment_says_otherwise() {
        // SAFETY: reads one word.
        let purge_decommits = || unsafe { mi_option_get(PURGE_DECOMMITS) };
        if std::env::var_os("MIMALLOC_PURGE_DECOMMITS").is_none() {
            // mimalloc's own default; anything else is another option, in a version that numbers them anew.
            assert_eq!(purge_decommits(), 1);
            keep_memory();
            assert_eq!(purge_decommits(), 0);
        }
    }
}
