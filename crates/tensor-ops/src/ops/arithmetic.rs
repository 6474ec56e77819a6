//! Sums, differences, products and quotients of two matrices, value by value, in double precision.

use rayon::prelude::*;

use super::custom::{custom, inspected};
use crate::{Features, OpError, Rows as _};

/// `a + b`, value by value.
///
/// Both are `(N, D)`, or one of them, or each in another axis, has size 1 where the other has more: its one row or one column
/// then stands for all. So `(N, D)` goes with `(N, D)`, `(1, D)`, `(N, 1)` and `(1, 1)`.
///
/// The gradient of each term is that of the output, summed over what one row or column stood for.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, plus};
///
/// let rows = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// let bias = features_from_rows(&Device::default(), (1, 2), vec![10.0, 20.0], Recording::Off)?;
/// assert_eq!(plus(rows, bias)?.rows(), [11.0, 22.0, 13.0, 24.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the shapes do not go together, or the device fails.
pub fn plus(a: Features, b: Features) -> Result<Features, OpError> {
    combined("plus", a, b, |a, b| a + b, |_, _| (1.0, 1.0))
}

/// `a - b`, value by value; shapes as for [`plus`].
///
/// The gradient of `a` is that of the output, and that of `b` its negative.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, minus};
///
/// let rows = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// let first = features_from_rows(&Device::default(), (2, 1), vec![1.0, 3.0], Recording::Off)?;
/// assert_eq!(minus(rows, first)?.rows(), [0.0, 1.0, 0.0, 1.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// As [`plus`].
pub fn minus(a: Features, b: Features) -> Result<Features, OpError> {
    combined("minus", a, b, |a, b| a - b, |_, _| (1.0, -1.0))
}

/// `a * b`, value by value; shapes as for [`plus`]. For products of matrices, see [`matmul`](crate::matmul).
///
/// With the gradient `g` of the output, that of `a` is `g b`, and that of `b` is `g a`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, times};
///
/// let rows = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// let mask = features_from_rows(&Device::default(), (1, 2), vec![0.0, 1.0], Recording::Off)?;
/// assert_eq!(times(rows, mask)?.rows(), [0.0, 2.0, 0.0, 4.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// As [`plus`].
pub fn times(a: Features, b: Features) -> Result<Features, OpError> {
    combined("times", a, b, |a, b| a * b, |a, b| (b, a))
}

/// `a / b`, value by value; shapes as for [`plus`].
///
/// With the gradient `g` of the output, that of `a` is `g / b`, and that of `b` is `-g a / b^2`. What is divided by 0 is
/// infinite or NaN.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, over};
///
/// let rows = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// let sums = features_from_rows(&Device::default(), (2, 1), vec![2.0, 4.0], Recording::Off)?;
/// assert_eq!(over(rows, sums)?.rows(), [0.5, 1.0, 0.75, 1.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// As [`plus`].
pub fn over(a: Features, b: Features) -> Result<Features, OpError> {
    combined("over", a, b, |a, b| a / b, |a, b| (1.0 / b, -a / (b * b)))
}

/// A number of each pair of values, with its slopes in both.
fn combined(
    op: &'static str,
    a: Features,
    b: Features,
    number: fn(f64, f64) -> f64,
    slopes: fn(f64, f64) -> (f64, f64),
) -> Result<Features, OpError> {
    let (Some(n), Some(d)) = (common(a.n(), b.n()), common(a.d(), b.d())) else {
        let expected = format!("{:?}, or 1 in place of a size of one of the two", (a.n(), a.d()));
        let what = "shape of the second matrix";
        return Err(OpError::Shape { op, what, expected, got: format!("{:?}", (b.n(), b.d())) });
    };
    let ((a, wants_a), (b, wants_b)) = (inspected(a), inspected(b));
    let pairs = Pairs { a: Side::of(&a), b: Side::of(&b), shape: (n, d) };
    let y = pairs.each_row(|row, out| {
        for (column, out) in out.iter_mut().enumerate() {
            let (a, b) = pairs.at(row, column);
            *out = number(a, b) as f32;
        }
    });
    custom(vec![a, b], (n, d), y, move |gradient| {
        let of_side = |is_wanted: bool, side, slope: fn((f64, f64)) -> f64| {
            let slope = |a, b| slope(slopes(a, b));
            if is_wanted { pairs.gradient(gradient, side, slope) } else { Vec::new() }
        };
        vec![of_side(wants_a, &pairs.a, |slopes| slopes.0), of_side(wants_b, &pairs.b, |slopes| slopes.1)]
    })
}

/// The size that two go together in.
fn common(a: usize, b: usize) -> Option<usize> {
    match (a, b) {
        (a, b) if a == b => Some(a),
        (1, other) | (other, 1) => Some(other),
        _ => None,
    }
}

/// One of two matrices, whose one row or column may stand for all.
struct Side {
    values: Vec<f32>,
    shape: (usize, usize),
}

impl Side {
    fn of(x: &Features) -> Self {
        Self { values: x.rows(), shape: (x.n(), x.d()) }
    }

    /// Where it has what it gives to a row and a column of both.
    fn place(&self, row: usize, column: usize) -> usize {
        let (n, d) = self.shape;
        let row = if n == 1 { 0 } else { row };
        let column = if d == 1 { 0 } else { column };
        row * d + column
    }
}

/// Two matrices that go together in `shape`.
struct Pairs {
    a: Side,
    b: Side,
    shape: (usize, usize),
}

/// Values that a thread takes at least.
const MIN_LEN: usize = 1024;

impl Pairs {
    fn at(&self, row: usize, column: usize) -> (f64, f64) {
        let (a, b) = (self.a.place(row, column), self.b.place(row, column));
        (f64::from(self.a.values[a]), f64::from(self.b.values[b]))
    }

    /// A matrix of the common shape.
    fn each_row(&self, work: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
        let (n, d) = self.shape;
        let mut result = vec![0.0; n * d];
        let rows = result.par_chunks_mut(d).enumerate().with_min_len(MIN_LEN.div_ceil(d));
        rows.for_each(|(row, out)| work(row, out));
        result
    }

    /// The gradient of a side, from that of the result and the slope at each pair.
    fn gradient(&self, by_y: &[f32], side: &Side, slope: impl Fn(f64, f64) -> f64 + Sync) -> Vec<f32> {
        let d = self.shape.1;
        let of_pair = |row: usize, column: usize| {
            let (a, b) = self.at(row, column);
            f64::from(by_y[row * d + column]) * slope(a, b)
        };
        if side.shape == self.shape {
            return self.each_row(|row, out| {
                for (column, out) in out.iter_mut().enumerate() {
                    *out = of_pair(row, column) as f32;
                }
            });
        }
        let mut sums = vec![0.0_f64; side.values.len()];
        for row in 0..self.shape.0 {
            for column in 0..d {
                sums[side.place(row, column)] += of_pair(row, column);
            }
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }
}
