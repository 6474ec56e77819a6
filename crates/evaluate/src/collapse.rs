//! Measures of feature collapse.

use nalgebra::DMatrix;

use crate::normalize::unit_rows;

/// The spread of features, 0–1: the standard deviation of L2-normalized rows, averaged over the `d` dimensions, times
/// √D (Chen and He 2021, arXiv:2011.10566, §4.1).
///
/// 0 if all rows have the same direction, 1 if they are spread evenly over the sphere. `rows`: `(N, D)`; NaN without
/// rows.
pub fn feature_std(rows: &[f32], d: usize) -> f64 {
    let unit = unit_rows(rows, d);
    let n = unit.len() as f64 / d as f64;
    // Two passes, because the difference of two large sums would lose precision for a small spread.
    let mut means = vec![0.0; d];
    for row in unit.chunks_exact(d) {
        means.iter_mut().zip(row).for_each(|(mean, &value)| *mean += f64::from(value) / n);
    }
    let mut variances = vec![0.0; d];
    for row in unit.chunks_exact(d) {
        for ((variance, &value), mean) in variances.iter_mut().zip(row).zip(&means) {
            *variance += (f64::from(value) - mean).powi(2) / n;
        }
    }
    variances.into_iter().map(f64::sqrt).sum::<f64>() / (d as f64).sqrt()
}

/// The effective rank: exp of the entropy of the singular values, scaled to sum to 1 (Roy and Vetterli 2007; for
/// encoders: RankMe, Garrido et al. 2023, arXiv:2210.02885).
///
/// Rows are L2-normalized and not centered, as in RankMe. The result is 1 if all rows have the same direction, and D if
/// they are spread evenly over D directions. It is at most min(N, D), so values are only comparable at the same N.
/// `rows`: `(N, D)`; NaN without rows.
///
/// Cubic in min(N, D): half a second at 512.
pub fn effective_rank(rows: &[f32], d: usize) -> f64 {
    let unit: Vec<f64> = unit_rows(rows, d).into_iter().map(f64::from).collect();
    let n = unit.len() / d.max(1);
    if n == 0 || unit.iter().any(|value| !value.is_finite()) {
        return f64::NAN;
    }
    // nalgebra stores columns, so rows `(N, D)` are its matrix `(D, N)`. Both Gram matrices have the same eigenvalues
    // except for zeros: the squared singular values.
    let columns = DMatrix::from_vec(d, n, unit);
    let gram = if d <= n { &columns * columns.transpose() } else { columns.transpose() * &columns };
    let squares = gram.symmetric_eigenvalues();
    // Smaller eigenvalues are rounding errors, which the square root would amplify.
    let least = squares.max() * 1e-13;
    let singular: Vec<f64> =
        squares.iter().filter(|&&square| square > least).map(|square| square.sqrt()).collect();
    let sum: f64 = singular.iter().sum();
    let entropy: f64 = singular.iter().map(|value| value / sum).map(|p| -p * p.ln()).sum();
    entropy.exp()
}

#[cfg(test)]
mod tests {
    use plugin_api::Rng;

    use super::*;

    fn assert_near(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value}, expected {expected}");
    }

    #[test]
    fn equal_rows_have_no_spread_and_one_direction() {
        let rows = [0.3_f32, -2.0, 0.7, 1.1].repeat(50);
        assert_near(feature_std(&rows, 4), 0.0, 1e-6);
        assert_near(effective_rank(&rows, 4), 1.0, 1e-3);
        assert_near(effective_rank(&[0.5_f32; 600].repeat(20), 600), 1.0, 1e-3);
    }

    #[test]
    fn orthonormal_rows_use_every_direction() {
        for d in [1, 2, 16, 65] {
            let mut rows = vec![0.0; d * d];
            (0..d).for_each(|i| rows[i * d + i] = 3.0);
            assert_near(effective_rank(&rows, d), d as f64, 1e-6 * d as f64);
            // Fewer rows than dimensions, and more.
            let half = d.div_ceil(2);
            assert_near(effective_rank(&rows[..half * d], d), half as f64, 1e-6 * d as f64);
            assert_near(effective_rank(&rows.repeat(3), d), d as f64, 1e-6 * d as f64);
        }
    }

    #[test]
    fn rows_all_over_the_sphere_have_spread_one() {
        let mut rng = Rng::new(0, "sphere", &[]);
        let rows: Vec<f32> = (0..4000 * 32).map(|_| rng.normal() as f32).collect();
        assert_near(feature_std(&rows, 32), 1.0, 0.02);
        assert!(effective_rank(&rows, 32) > 31.5);
    }

    #[test]
    fn two_directions_of_unequal_weight_have_the_entropy_worked_out_by_hand() {
        // Nine rows on one axis and one on the other: singular values 3 and 1.
        let mut rows = [1.0_f32, 0.0].repeat(9);
        rows.extend([0.0, 5.0]);
        let entropy = -(0.75_f64 * 0.75_f64.ln() + 0.25 * 0.25_f64.ln());
        assert_near(effective_rank(&rows, 2), entropy.exp(), 1e-9);
        // Each dimension: mean 0.9 or 0.1, variance 0.09.
        assert_near(feature_std(&rows, 2), 0.3 * 2.0_f64.sqrt(), 1e-6);
    }
}
