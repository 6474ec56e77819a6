//! Damages small files in tests of what reads them.
//!
//! `MOCO_MUTATIONS=100000` asks for so many rounds with each file, and `MOCO_MUTATIONS_SEED` for other damage.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

use plugin_api::Rng;

/// How often each file is damaged: what the environment asks for, or `default`.
///
/// # Panics
/// If `MOCO_MUTATIONS` is no number.
pub fn rounds(default: usize) -> usize {
    number("MOCO_MUTATIONS", default)
}

/// What all damage is drawn from: what the environment asks for, or 0.
///
/// # Panics
/// If `MOCO_MUTATIONS_SEED` is no number.
pub fn seed() -> u64 {
    number("MOCO_MUTATIONS_SEED", 0) as u64
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Writes the `n` bytes from `at` on a second time, before themselves.
///
/// # Panics
/// If there are not so many.
pub fn repeat(bytes: &mut Vec<u8>, at: usize, n: usize) {
    let again = bytes[at..at + n].to_vec();
    bytes.splice(at..at, again);
}

/// Writes `field` over what is at `at`, as far as there is room.
///
/// # Panics
/// If `at` is beyond the end.
pub fn overwrite(bytes: &mut [u8], at: usize, field: &[u8]) {
    let n = field.len().min(bytes.len() - at);
    bytes[at..at + n].copy_from_slice(&field[..n]);
}

/// Makes one of the decimal digits another: of a size, a shape or an offset. Does nothing where there is none.
pub fn change_a_digit(bytes: &mut [u8], rng: &mut Rng) {
    let digits = bytes.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit()).map(|(at, _)| at);
    let digits: Vec<usize> = digits.collect();
    if !digits.is_empty() {
        bytes[digits[rng.below(digits.len())]] = b'0' + rng.below(10) as u8;
    }
}
