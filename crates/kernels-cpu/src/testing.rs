//! What the tests of several kernels, and of the crates above, share; it has no feature of its own, with which kernels would be
//! compiled twice. Oracles compute in double precision, one value at a time.

mod attention;

pub use self::attention::attention;
use crate::simd::Family;

/// Not a number, infinite, huge, next to 0, and 0 of both signs.
pub const SPECIAL_VALUES: [f32; 18] = [
    f32::NAN,
    -f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    1e30,
    -1e30,
    3.0,
    -3.0,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1e-40,
    -1e-40,
    f32::from_bits(1),
    -f32::from_bits(1),
    0.0,
    -0.0,
];

/// Numbers between -1 and 1 that look random.
pub fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// In double precision.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// The gradient of `f` at `at`, by central differences.
pub fn differences(f: impl Fn(&[f64]) -> f64, at: &[f64]) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut at = at.to_vec();
    let mut gradient = Vec::with_capacity(at.len());
    for i in 0..at.len() {
        let here = at[i];
        at[i] = here + STEP;
        let above = f(&at);
        at[i] = here - STEP;
        let below = f(&at);
        at[i] = here;
        gradient.push((above - below) / (2.0 * STEP));
    }
    gradient
}

/// `sum(weights * values)`.
pub fn weighted(values: &[f64], weights: &[f32]) -> f64 {
    values.iter().zip(weights).map(|(value, &weight)| value * f64::from(weight)).sum()
}

/// Panics when a value is further from the oracle's than `tolerance` times the largest of them.
pub fn assert_close(what: &str, got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: number of values");
    let scale = expected.iter().fold(1e-3_f64, |scale, value| scale.max(value.abs()));
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs();
        assert!(error <= tolerance * scale, "{what}: value {i} is {got}, the oracle says {expected}");
    }
}

/// Every family that this machine can run. With `RUSTFLAGS="--cfg portable_wide"`, the tests of this crate have one of plain Rust in
/// the shape of AVX-512 as well, which takes a third of their compilation: for machines that have no AVX-512 with bfloat16.
pub fn families() -> Vec<Family> {
    #[cfg(all(test, portable_wide))]
    let wide = [Family::portable_wide()];
    #[cfg(not(all(test, portable_wide)))]
    let wide: [Family; 0] = [];
    wide.into_iter().chain(Family::available()).collect()
}
