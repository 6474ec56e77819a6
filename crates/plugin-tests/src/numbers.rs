//! Numbers to test with, and how near two lists of them are.

use plugin_api::Rng;

/// `n` draws of a standard normal, always the same for the same purpose and `set`.
pub(crate) fn normal(purpose: &str, set: u64, n: usize) -> Vec<f32> {
    let mut rng = Rng::new(set, purpose, &[]);
    (0..n).map(|_| rng.normal() as f32).collect()
}

/// The length of the difference, as a share of the longer one of both; 0 if both are 0.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f64 {
    match norm(a).max(norm(b)) {
        0.0 => 0.0,
        larger => apart(a, b) / larger,
    }
}

/// The length of the difference.
pub(crate) fn apart(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
}

/// The length.
pub(crate) fn norm(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// Whether both have the same bits.
pub(crate) fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

pub(crate) fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}
