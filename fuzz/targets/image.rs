//! See `fuzz_targets::image`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz_targets::allow_decoders_to_give_up(), |bytes: &[u8]| fuzz_targets::image(bytes));
