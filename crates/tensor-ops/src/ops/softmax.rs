//! Softmax and what goes with it, along each row, in double precision.

use rayon::prelude::*;

use super::custom::custom;
use crate::{Features, OpError, Rows as _};

/// `exp(x) / sum(exp(x))` along each row, `(N, D)`.
///
/// With the output `y` and its gradient `g`, that of the input is `y (g - sum(g y))`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, softmax};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![3.0_f32.ln(), 0.0], Recording::Off)?;
/// assert_eq!(softmax(x)?.rows(), [0.75, 0.25]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn softmax(x: Features) -> Result<Features, OpError> {
    let (shape, d) = ((x.n(), x.d()), x.d());
    let y = each_row(&x.rows(), d, |row, out| {
        let log_sum = log_sum(row);
        let share = |&value: &f32| (f64::from(value) - log_sum).exp() as f32;
        out.iter_mut().zip(row).for_each(|(out, value)| *out = share(value));
    });
    let kept = y.clone();
    custom(vec![x], shape, y, move |gradient| {
        vec![each_row_of_two(&kept, gradient, d, |y, gradient, out| {
            let products = y.iter().zip(gradient).map(|(&y, &g)| f64::from(y) * f64::from(g));
            let mean: f64 = products.sum();
            let at = |(&y, &g): (&f32, &f32)| (f64::from(y) * (f64::from(g) - mean)) as f32;
            out.iter_mut().zip(y.iter().zip(gradient)).for_each(|(out, pair)| *out = at(pair));
        })]
    })
}

/// `x - log(sum(exp(x)))` along each row, `(N, D)`: the logarithm of [`softmax`], without its rounding.
///
/// With the output `y` and its gradient `g`, that of the input is `g - exp(y) sum(g)`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, log_softmax};
///
/// // Much too large for an exponential.
/// let x = features_from_rows(&Device::default(), (1, 2), vec![1000.0, 0.0], Recording::Off)?;
/// assert_eq!(log_softmax(x)?.rows(), [0.0, -1000.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn log_softmax(x: Features) -> Result<Features, OpError> {
    let (shape, d) = ((x.n(), x.d()), x.d());
    let y = each_row(&x.rows(), d, |row, out| {
        let log_sum = log_sum(row);
        out.iter_mut().zip(row).for_each(|(out, &value)| *out = (f64::from(value) - log_sum) as f32);
    });
    let kept = y.clone();
    custom(vec![x], shape, y, move |gradient| {
        vec![each_row_of_two(&kept, gradient, d, |y, gradient, out| {
            let sum: f64 = gradient.iter().copied().map(f64::from).sum();
            let at = |(&y, &g): (&f32, &f32)| (f64::from(g) - f64::from(y).exp() * sum) as f32;
            out.iter_mut().zip(y.iter().zip(gradient)).for_each(|(out, pair)| *out = at(pair));
        })]
    })
}

/// `log(sum(exp(x)))` of each row, `(N, D)` to `(N, 1)`; minus infinity where all values of a row are.
///
/// With the gradient `g` of a row's output, that of the row is `g softmax(x)`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, log_sum_exp};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![0.0, 0.0, 1000.0, 1.0], Recording::Off)?;
/// assert_eq!(log_sum_exp(x)?.rows(), [2.0_f32.ln(), 1000.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn log_sum_exp(x: Features) -> Result<Features, OpError> {
    let (n, d) = (x.n(), x.d());
    let rows = x.rows();
    let sums: Vec<f64> = rows.par_chunks(d).map(log_sum).collect();
    let y = sums.iter().map(|&sum| sum as f32).collect();
    custom(vec![x], (n, 1), y, move |gradient| {
        let mut by_x = vec![0.0; rows.len()];
        by_x.par_chunks_mut(d).enumerate().for_each(|(i, out)| {
            let share = |&x: &f32| (f64::from(gradient[i]) * (f64::from(x) - sums[i]).exp()) as f32;
            out.iter_mut().zip(&rows[i * d..]).for_each(|(out, x)| *out = share(x));
        });
        vec![by_x]
    })
}

/// Less the largest value, so that no exponential is too large.
fn log_sum(row: &[f32]) -> f64 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shift = if largest.is_finite() { f64::from(largest) } else { 0.0 };
    row.iter().map(|&value| (f64::from(value) - shift).exp()).sum::<f64>().ln() + shift
}

/// Each row of a result from that of `x`.
fn each_row(x: &[f32], d: usize, work: impl Fn(&[f32], &mut [f32]) + Sync) -> Vec<f32> {
    let mut result = vec![0.0; x.len()];
    result.par_chunks_mut(d).zip(x.par_chunks(d)).for_each(|(out, x)| work(x, out));
    result
}

/// Each row of a result from those of `a` and `b`.
fn each_row_of_two(
    a: &[f32],
    b: &[f32],
    d: usize,
    work: impl Fn(&[f32], &[f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut result = vec![0.0; a.len()];
    result
        .par_chunks_mut(d)
        .zip(a.par_chunks(d).zip(b.par_chunks(d)))
        .for_each(|(out, (a, b))| work(a, b, out));
    result
}
