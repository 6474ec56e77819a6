//! Alignment and uniformity on the unit sphere.

use rayon::prelude::*;

use crate::normalize::unit_rows;

/// How far two views of one image lie apart: the mean squared distance of L2-normalized rows (Wang and Isola 2020,
/// arXiv:2005.10242, §4.1.1, with α = 2).
///
/// 0 if both views of each image have the same direction, 2 if they are at right angles, at most 4. `x` and `y`: `(N, D)`, row
/// for row; NaN without rows.
pub fn alignment(x: &[f32], y: &[f32], d: usize) -> f64 {
    let (x, y) = (unit_rows(x, d), unit_rows(y, d));
    let squares: f64 = x.iter().zip(&y).map(|(x, y)| f64::from(x - y).powi(2)).sum();
    squares / (x.len() as f64 / d as f64)
}

/// How evenly features lie on the sphere: the logarithm of the mean of exp(-2 s) over all pairs of L2-normalized rows, with their
/// squared distance s (Wang and Isola 2020, arXiv:2005.10242, §4.1.2, with t = 2).
///
/// 0 if all rows have the same direction, and less the more evenly they lie: about -4 + 8 / D for many rows all over a sphere of
/// many dimensions. `rows`: `(N, D)`; NaN for fewer than two rows. Takes N²D/2 multiplications.
pub fn uniformity(rows: &[f32], d: usize) -> f64 {
    let unit = unit_rows(rows, d);
    let n = unit.len() / d.max(1);
    // One sum a row, added up in order: the bits do not depend on the number of threads.
    let sums: Vec<f64> = (0..n)
        .into_par_iter()
        .map(|i| {
            let row = &unit[i * d..(i + 1) * d];
            let others = unit[(i + 1) * d..].chunks_exact(d);
            others.map(|other| (-2.0 * squared_distance(row, other)).exp()).sum()
        })
        .collect();
    let n_pairs = n as f64 * (n as f64 - 1.0) / 2.0;
    (sums.into_iter().sum::<f64>() / n_pairs).ln()
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use plugin_api::Rng;

    use super::*;

    fn assert_near(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value}, expected {expected}");
    }

    #[test]
    fn views_that_lie_alike_are_aligned_whatever_their_lengths() {
        assert_near(alignment(&[3.0, 4.0, 0.0, 1.0], &[0.6, 0.8, 0.0, 9.0], 2), 0.0, 1e-12);
        // At right angles, and opposite: squared distances 2 and 4.
        assert_near(alignment(&[1.0, 0.0, 0.0, 2.0], &[0.0, 5.0, 0.0, -2.0], 2), 3.0, 1e-6);
    }

    #[test]
    fn uniformity_is_that_of_the_worked_example() {
        assert_near(uniformity(&[0.3_f32, -2.0].repeat(9), 2), 0.0, 1e-6);
        // A square: four pairs at squared distance 2, and two at 4.
        let square = [1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, -1.0];
        let mean = (4.0 * (-4.0_f64).exp() + 2.0 * (-8.0_f64).exp()) / 6.0;
        assert_near(uniformity(&square, 2), mean.ln(), 1e-6);
    }

    /// numpy 2.4, in double precision:
    /// x = np.sin(0.7 * np.arange(24) + 1).reshape(6, 4); y = np.cos(0.3 * np.arange(24)).reshape(6, 4)
    /// u = lambda z: z / np.linalg.norm(z, axis=1, keepdims=True)
    /// ((u(x) - u(y)) ** 2).sum(1).mean()
    /// s = ((u(x)[:, None] - u(x)[None]) ** 2).sum(2)[np.triu_indices(6, 1)]; np.log(np.exp(-2 * s).mean())
    #[test]
    fn both_are_what_numpy_computes() {
        let x: Vec<f32> = (0..24).map(|i| (0.7 * f64::from(i) + 1.0).sin() as f32).collect();
        let y: Vec<f32> = (0..24).map(|i| (0.3 * f64::from(i)).cos() as f32).collect();
        assert_near(alignment(&x, &y, 4), 1.570_300_893, 1e-6);
        assert_near(uniformity(&x, 4), -2.032_465_304, 1e-6);
    }

    #[test]
    fn rows_all_over_a_sphere_of_many_dimensions_are_near_the_least() {
        let mut rng = Rng::new(0, "sphere", &[]);
        let rows: Vec<f32> = (0..1000 * 128).map(|_| rng.normal() as f32).collect();
        assert_near(uniformity(&rows, 128), -4.0 + 8.0 / 128.0, 0.02);
    }
}
