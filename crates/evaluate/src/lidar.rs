//! The effective rank of what tells images apart, in spite of how they are seen.

use nalgebra::{Cholesky, DMatrix};

/// Added to the scatter within images, so that it has an inverse.
const DELTA: f64 = 1e-4;

/// Where images differ by less than this share of the mean square of a feature, there is only rounding.
const COLLAPSED: f64 = 1e-10;

/// LiDAR: the effective rank of linear discriminant analysis whose classes are images, and whose samples are views of them
/// (Thilak et al. 2023, arXiv:2312.04000, §4).
///
/// With the scatter B of the images' means and the scatter W of views about their image's mean, plus 1e-4 on its diagonal, it is
/// exp of the entropy of the eigenvalues of W^(-1/2) B W^(-1/2), scaled to sum to 1. Directions in which views of one image
/// differ as much as images do weigh little, as they do not in [`effective_rank`](crate::effective_rank). Rows are taken as they
/// are, not normalized.
///
/// 1 if a single direction tells images apart, or none does; at most D, and at most one less than the number of images. `views`:
/// for each view, `(N, D)`, row for row of the same images. NaN for fewer than two views or images.
///
/// Cubic in D: seconds at 2048.
pub fn lidar(views: &[&[f32]], d: usize) -> f64 {
    let q = views.len();
    let n = views.first().map_or(0, |rows| rows.len() / d.max(1));
    let finite = views.iter().all(|rows| rows.len() == n * d && rows.iter().all(|value| value.is_finite()));
    if q < 2 || n < 2 || !finite {
        return f64::NAN;
    }
    let mut means = DMatrix::<f64>::zeros(d, n);
    for rows in views {
        for (mean, &value) in means.iter_mut().zip(*rows) {
            *mean += f64::from(value) / q as f64;
        }
    }
    // nalgebra stores columns, so rows `(N, D)` are its matrix `(D, N)`.
    let mut within = DMatrix::<f64>::identity(d, d) * DELTA;
    let mut mean_square = 0.0;
    for rows in views {
        let values: Vec<f64> = rows.iter().map(|&value| f64::from(value)).collect();
        let rows = DMatrix::from_vec(d, n, values);
        mean_square += rows.norm_squared() / (n * q) as f64;
        let about = rows - &means;
        within.gemm(1.0 / (n * q) as f64, &about, &about.transpose(), 1.0);
    }
    let center = means.column_mean();
    means.column_iter_mut().for_each(|mut mean| mean -= &center);
    let between = means / (n as f64).sqrt();
    if between.norm_squared() <= COLLAPSED * mean_square {
        return 1.0;
    }
    // With W = L Lᵀ, the eigenvalues are the squared singular values of L⁻¹ B^(1/2).
    let Some(whitened) =
        Cholesky::new(within).and_then(|cholesky| cholesky.l().solve_lower_triangular(&between))
    else {
        return f64::NAN;
    };
    let gram = if d <= n { &whitened * whitened.transpose() } else { whitened.transpose() * &whitened };
    let eigenvalues = gram.symmetric_eigenvalues();
    let sum: f64 = eigenvalues.iter().filter(|value| **value > 0.0).sum();
    let shares = eigenvalues.iter().map(|value| value / sum).filter(|share| *share > 0.0);
    shares.map(|p| -p * p.ln()).sum::<f64>().exp()
}

#[cfg(test)]
mod tests {
    use plugin_api::Rng;

    use super::*;

    fn assert_near(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value}, expected {expected}");
    }

    /// Images at the corners of a box of these half sides, each seen twice, moved by `noise` along each axis and back.
    fn corners(sides: [f32; 2], noise: [f32; 2]) -> [Vec<f32>; 2] {
        let view = |sign: f32| {
            let corner = |x: f32, y: f32| [x * sides[0] + sign * noise[0], y * sides[1] + sign * noise[1]];
            [corner(1.0, 1.0), corner(1.0, -1.0), corner(-1.0, 1.0), corner(-1.0, -1.0)].concat()
        };
        [view(1.0), view(-1.0)]
    }

    fn of_corners(sides: [f32; 2], noise: [f32; 2]) -> f64 {
        let views = corners(sides, noise);
        lidar(&[&views[0], &views[1]], 2)
    }

    #[test]
    fn corners_of_a_box_have_the_rank_worked_out_by_hand() {
        // B is diagonal with 9 and 1, and W is 1e-4 on the diagonal: shares of 0.9 and 0.1.
        let entropy = |p: f64| (-(p * p.ln() + (1.0 - p) * (1.0 - p).ln())).exp();
        assert_near(of_corners([3.0, 1.0], [0.0, 0.0]), entropy(0.9), 1e-6);
        assert_near(of_corners([1.0, 1.0], [0.0, 0.0]), 2.0, 1e-6);
        assert_near(of_corners([1.0, 0.0], [0.0, 0.0]), 1.0, 1e-6);
        // Views that differ by 0.02 along one axis: W is diagonal with 4e-4 + 1e-4 and 1e-4, shares are 1/5 to 1.
        assert_near(of_corners([1.0, 1.0], [0.02, 0.0]), entropy(1.0 / 6.0), 1e-6);
    }

    #[test]
    fn a_direction_in_which_views_differ_counts_for_little() {
        let clear = of_corners([1.0, 1.0], [0.01, 0.01]);
        let confused = of_corners([1.0, 1.0], [0.01, 3.0]);
        assert!(clear > 1.7 && confused < 1.1, "{clear} {confused}");
    }

    #[test]
    fn features_that_do_not_tell_images_apart_have_rank_one() {
        let mut rng = Rng::new(0, "noise", &[]);
        let mut view = || (0..50 * 8).map(|_| 1.0 + 1e-7 * rng.normal() as f32).collect::<Vec<f32>>();
        assert_eq!(lidar(&[&view(), &view(), &view()], 8), 1.0);
        assert_eq!(lidar(&[&[2.0; 80], &[2.0; 80]], 8), 1.0);
    }

    #[test]
    fn too_few_views_or_images_have_none() {
        assert!(lidar(&[&[1.0, 2.0, 3.0, 4.0]], 2).is_nan());
        assert!(lidar(&[&[1.0, 2.0], &[1.0, 3.0]], 2).is_nan());
        assert!(lidar(&[], 2).is_nan());
    }

    /// numpy 2.4, in double precision, n = 6 images, q = 3 views, D = 4, and n = 3 images of D = 8:
    /// e = np.sin(0.7 * np.arange(72) ** 1.3).reshape(3, n, d)
    /// m = e.mean(0); b = m - m.mean(0); B = b.T @ b / n
    /// w = (e - m).reshape(-1, d); W = w.T @ w / (3 * n) + 1e-4 * np.eye(d)
    /// v, U = np.linalg.eigh(W); R = U @ np.diag(v ** -0.5) @ U.T
    /// p = np.linalg.eigvalsh(R @ B @ R); p = np.clip(p, 1e-300, None) / p.sum(); np.exp(-(p * np.log(p)).sum())
    #[test]
    fn it_is_what_numpy_computes() {
        for (n, d, expected) in [(6, 4, 2.944_782_471), (3, 8, 1.914_681_236)] {
            let values: Vec<f32> = (0..72).map(|i| (0.7 * f64::from(i).powf(1.3)).sin() as f32).collect();
            let views: Vec<&[f32]> = values.chunks(n * d).collect();
            assert_near(lidar(&views, d), expected, 1e-4);
        }
    }
}
