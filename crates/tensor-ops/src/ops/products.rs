//! Products of matrices.

use kernels_cpu::{
    Family, Lent,
    matrix::{Side, multiply, outer_products},
};

use super::custom::{custom, inspected};
use crate::{Features, OpError, Rows as _};

/// The matrix product `a b`: `(N, K)` and `(K, M)` to `(N, M)`.
///
/// With the gradient `G` of the output, that of `a` is `G b^T`, and that of `b` is `a^T G`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, matmul};
///
/// let a = features_from_rows(&Device::default(), (1, 2), vec![1.0, 2.0], Recording::Off)?;
/// let b = features_from_rows(&Device::default(), (2, 2), vec![3.0, 4.0, 5.0, 6.0], Recording::Off)?;
/// assert_eq!(matmul(a, b)?.rows(), [13.0, 16.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When `b` has not as many rows as `a` has columns, or the device fails.
pub fn matmul(a: Features, b: Features) -> Result<Features, OpError> {
    let (n, inner, m) = (a.n(), a.d(), b.d());
    if b.n() != inner {
        return Err(OpError::shape("matmul", "number of rows of the second matrix", inner, b.n()));
    }
    let ((a, wants_a), (b, wants_b)) = (inspected(a), inspected(b));
    let (left, right) = (a.rows(), b.rows());
    let family = Family::detected();
    let product = multiply(family, &left, Side::plain(&right, inner, m));
    custom(vec![a, b], (n, m), product, move |gradient| {
        let by_a = || multiply(family, gradient, Side::transposed(&right, inner, m));
        let by_b = || outer(family, (&left, inner), (gradient, m));
        vec![if_wanted(wants_a, by_a), if_wanted(wants_b, by_b)]
    })
}

/// The matrix product `a b^T`, each row of `a` times each row of `b`: `(N, D)` and `(M, D)` to `(N, M)`.
///
/// With the gradient `G` of the output, that of `a` is `G b`, and that of `b` is `G^T a`. With rows of unit length it is their
/// cosines, see [`l2_normalize`](crate::l2_normalize).
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, matmul_transposed};
///
/// let a = features_from_rows(&Device::default(), (1, 2), vec![1.0, 2.0], Recording::Off)?;
/// let b = features_from_rows(&Device::default(), (2, 2), vec![3.0, 4.0, 5.0, 6.0], Recording::Off)?;
/// assert_eq!(matmul_transposed(a, b)?.rows(), [11.0, 17.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the widths differ, or the device fails.
pub fn matmul_transposed(a: Features, b: Features) -> Result<Features, OpError> {
    let (n, d, m) = (a.n(), a.d(), b.n());
    if b.d() != d {
        return Err(OpError::shape("matmul_transposed", "width of the second matrix", d, b.d()));
    }
    let ((a, wants_a), (b, wants_b)) = (inspected(a), inspected(b));
    let (left, right) = (a.rows(), b.rows());
    let family = Family::detected();
    let product = multiply(family, &left, Side::transposed(&right, m, d));
    custom(vec![a, b], (n, m), product, move |gradient| {
        let by_a = || multiply(family, gradient, Side::plain(&right, m, d));
        let by_b = || outer(family, (gradient, m), (&left, d));
        vec![if_wanted(wants_a, by_a), if_wanted(wants_b, by_b)]
    })
}

/// How columns vary together, `(N, D)` to `(D, D)`: `sum over rows of (x - mean) (x - mean)^T / (N - 1)`, as `torch.cov` of
/// the transposed matrix.
///
/// With the gradient `G` of the output, that of the input is `(x - mean) (G + G^T) / (N - 1)`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, covariance, features_from_rows};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, 5.0, 3.0, 1.0], Recording::Off)?;
/// assert_eq!(covariance(x)?.rows(), [2.0, -4.0, -4.0, 8.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When there is only one row, or the device fails.
pub fn covariance(x: Features) -> Result<Features, OpError> {
    let (n, d) = (x.n(), x.d());
    if n < 2 {
        return Err(OpError::value("covariance", "number of rows", n, "it must be at least 2"));
    }
    let family = Family::detected();
    let centered = centered(&x.rows(), d);
    let scale = 1.0 / (n - 1) as f32;
    let scaled = move |mut values: Vec<f32>| {
        values.iter_mut().for_each(|value| *value *= scale);
        values
    };
    let products = scaled(outer(family, (&centered, d), (&centered, d)));
    custom(vec![x], (d, d), products, move |gradient| {
        let at = |i: usize| gradient[i] + gradient[i % d * d + i / d];
        let both: Vec<f32> = (0..d * d).map(at).collect();
        vec![scaled(multiply(family, &centered, Side::plain(&both, d, d)))]
    })
}

/// Rows less their mean.
fn centered(rows: &[f32], d: usize) -> Vec<f32> {
    let mut means = vec![0.0_f64; d];
    for row in rows.chunks(d) {
        means.iter_mut().zip(row).for_each(|(mean, &value)| *mean += f64::from(value));
    }
    let n = (rows.len() / d) as f64;
    means.iter_mut().for_each(|mean| *mean /= n);
    let less = |row: &[f32]| -> Vec<f32> {
        row.iter().zip(&means).map(|(&value, mean)| (f64::from(value) - mean) as f32).collect()
    };
    rows.chunks(d).flat_map(less).collect()
}

/// `a^T b` of matrices with as many rows, each with its width.
fn outer(family: Family, a: (&[f32], usize), b: (&[f32], usize)) -> Vec<f32> {
    outer_products(family, (Lent::F32(a.0), a.1), (Lent::F32(b.0), b.1), false).weight
}

/// The gradient of an input, or nothing where nobody asks for it.
fn if_wanted(is_wanted: bool, gradient: impl FnOnce() -> Vec<f32>) -> Vec<f32> {
    if is_wanted { gradient() } else { Vec::new() }
}
