//! GELU.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use tensor_ops::{Features, OpError, Rows as _, custom};

/// `x` times the probability that a normal draw is below it (Hendrycks and Gimpel 2016, arXiv:1606.08415), `(N, D)`: the exact
/// one, which PyTorch has by default.
pub(crate) fn gelu(x: Features) -> Result<Features, OpError> {
    let (shape, values) = ((x.n(), x.d()), x.rows());
    let outputs = values.iter().map(|x| (f64::from(*x) * below(f64::from(*x))) as f32).collect();
    custom(vec![x], shape, outputs, move |gradient| {
        let slope = |(gradient, x): (&f32, &f32)| {
            let x = f64::from(*x);
            let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
            (f64::from(*gradient) * (below(x) + x * density)) as f32
        };
        vec![gradient.iter().zip(&values).map(slope).collect()]
    })
}

/// The probability that a normal draw is below `x`, to 1e-7 (Abramowitz and Stegun 1964, 7.1.26).
fn below(x: f64) -> f64 {
    const TERMS: [f64; 5] = [0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429];
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let polynomial = TERMS.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    // Half of what lies beyond z on both sides.
    let beyond = 0.5 * polynomial * (-z * z).exp();
    if x < 0.0 { beyond } else { 1.0 - beyond }
}

#[cfg(test)]
mod tests {
    use tensor_ops::{Device, Recording, check_gradient, detach, features_from_rows, weighted_sum};

    use super::*;

    #[test]
    fn values_are_pytorchs() {
        // torch.nn.functional.gelu(torch.tensor([-6., -3, -1, -.1, 0, .1, .5, 1, 3, 6]).double())
        let x = vec![-6.0, -3.0, -1.0, -0.1, 0.0, 0.1, 0.5, 1.0, 3.0, 6.0];
        let expected = [
            -5.91952587e-09,
            -0.00404969409,
            -0.158655254,
            -0.0460172169,
            0.0,
            0.0539827846,
            0.345731231,
            0.841344746,
            2.99595031,
            5.99999999,
        ];
        let x = features_from_rows(&Device::default(), (2, 5), x, Recording::Off).unwrap();
        for (ours, theirs) in gelu(x).unwrap().rows().into_iter().zip(expected) {
            assert!((f64::from(ours) - theirs).abs() < 1e-6, "{ours}, expected {theirs}");
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        let x = vec![-2.0, -0.7, -0.1, 0.2, 0.9, 2.5];
        let x = detach(&features_from_rows(&Device::default(), (2, 3), x, Recording::Off).unwrap());
        let weights = [1.0, -2.0, 3.0, 0.5, -1.0, 2.0];
        let check = check_gradient(|mut x| weighted_sum(gelu(x.remove(0))?, &weights), &[x]).unwrap();
        assert!(check.largest_error < 0.01, "{check:?}");
    }
}
