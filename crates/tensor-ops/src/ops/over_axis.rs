//! Sums, means, variances and lengths of rows or of columns, in double precision.

use rayon::prelude::*;

use super::custom::custom;
use crate::{Features, OpError, Rows as _};

/// The axis of `(N, D)` that a number is taken over, and that has one value afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Over the rows: one value for each column, `(1, D)`.
    Rows,
    /// Over the columns: one value for each row, `(N, 1)`.
    Columns,
}

/// The sum over an axis: `(N, D)` to `(1, D)` or `(N, 1)`, see [`Axis`].
///
/// The gradient of each value is that of its sum.
///
/// ```
/// use tensor_ops::{Axis, Device, Recording, Rows, features_from_rows, sum_over};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// assert_eq!(sum_over(x, Axis::Columns)?.rows(), [3.0, 7.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn sum_over(x: Features, axis: Axis) -> Result<Features, OpError> {
    over(x, axis, |line| (line.iter().sum(), ()), |_, ()| 1.0)
}

/// The mean over an axis: `(N, D)` to `(1, D)` or `(N, 1)`, see [`Axis`].
///
/// The gradient of each value is that of its mean, divided by the number of values.
///
/// ```
/// use tensor_ops::{Axis, Device, Recording, Rows, features_from_rows, mean_over};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// assert_eq!(mean_over(x, Axis::Rows)?.rows(), [2.0, 3.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn mean_over(x: Features, axis: Axis) -> Result<Features, OpError> {
    let weight = 1.0 / Lines::of(&x, axis).len as f64;
    over(x, axis, |line| (mean(line), ()), move |_, ()| weight)
}

/// The variance over an axis, `sum((x - mean)^2) / (n - ddof)` of `n` values: `(N, D)` to `(1, D)` or `(N, 1)`, see [`Axis`].
///
/// `ddof` is 1 for the estimate that PyTorch's `var` takes, and 0 for the variance of the values themselves, which batch norm
/// takes. With the gradient `g` of a variance, that of its values is `2 g (x - mean) / (n - ddof)`.
///
/// ```
/// use tensor_ops::{Axis, Device, Recording, Rows, features_from_rows, variance_over};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 6.0], Recording::Off)?;
/// assert_eq!(variance_over(x, Axis::Rows, 1)?.rows(), [2.0, 8.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the axis has no more than `ddof` values, or the device fails.
pub fn variance_over(x: Features, axis: Axis, ddof: usize) -> Result<Features, OpError> {
    let len = Lines::of(&x, axis).len;
    if ddof >= len {
        let must = "the axis must have more values than `ddof`";
        return Err(OpError::value("variance_over", "number of values, and `ddof`,", (len, ddof), must));
    }
    let divisor = (len - ddof) as f64;
    let variance = move |line: &[f64]| {
        let mean = mean(line);
        (line.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / divisor, mean)
    };
    over(x, axis, variance, move |value, mean| 2.0 * (value - mean) / divisor)
}

/// The Euclidean length over an axis, `sqrt(sum(x^2))`: `(N, D)` to `(1, D)` or `(N, 1)`, see [`Axis`].
///
/// With the gradient `g` of a length, that of its values is `g x / length`, and 0 where the length is 0, as in PyTorch. For rows
/// of unit length, see [`l2_normalize`](crate::l2_normalize).
///
/// ```
/// use tensor_ops::{Axis, Device, Recording, Rows, features_from_rows, norm_over};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![3.0, 4.0, 0.0, 0.0], Recording::Off)?;
/// assert_eq!(norm_over(x, Axis::Columns)?.rows(), [5.0, 0.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn norm_over(x: Features, axis: Axis) -> Result<Features, OpError> {
    let length = |line: &[f64]| {
        let length = line.iter().map(|value| value * value).sum::<f64>().sqrt();
        (length, length)
    };
    over(x, axis, length, |value, length| if length == 0.0 { 0.0 } else { value / length })
}

fn mean(line: &[f64]) -> f64 {
    line.iter().sum::<f64>() / line.len() as f64
}

/// A number of each line, and what its `slope` in each of the line's values needs beside the value.
fn over<K: Copy + Send + Sync + 'static>(
    x: Features,
    axis: Axis,
    number: impl Fn(&[f64]) -> (f64, K) + Sync,
    slope: impl Fn(f64, K) -> f64 + Sync + 'static,
) -> Result<Features, OpError> {
    let lines = Lines::of(&x, axis);
    let values = x.rows();
    let of_line = |line: usize| {
        let line: Vec<f64> = (0..lines.len).map(|k| f64::from(values[lines.place(line, k)])).collect();
        number(&line)
    };
    let numbers: Vec<(f64, K)> = (0..lines.n_lines).into_par_iter().map(of_line).collect();
    let result = numbers.iter().map(|(number, _)| *number as f32).collect();
    let shape = match axis {
        Axis::Rows => (1, lines.n_lines),
        Axis::Columns => (lines.n_lines, 1),
    };
    custom(vec![x], shape, result, move |gradient| {
        let at = |(i, &value): (usize, &f32)| {
            let line = lines.line_of(i);
            (f64::from(gradient[line]) * slope(f64::from(value), numbers[line].1)) as f32
        };
        vec![values.par_iter().enumerate().with_min_len(4096).map(at).collect()]
    })
}

/// The rows or columns that a number is taken of.
#[derive(Clone, Copy)]
struct Lines {
    axis: Axis,
    d: usize,
    n_lines: usize,
    len: usize,
}

impl Lines {
    fn of(x: &Features, axis: Axis) -> Self {
        let (n, d) = (x.n(), x.d());
        let (n_lines, len) = match axis {
            Axis::Rows => (d, n),
            Axis::Columns => (n, d),
        };
        Self { axis, d, n_lines, len }
    }

    /// Where value number `k` of a line is.
    fn place(self, line: usize, k: usize) -> usize {
        match self.axis {
            Axis::Rows => k * self.d + line,
            Axis::Columns => line * self.d + k,
        }
    }

    /// The line that value number `i` is of.
    fn line_of(self, i: usize) -> usize {
        match self.axis {
            Axis::Rows => i % self.d,
            Axis::Columns => i / self.d,
        }
    }
}
