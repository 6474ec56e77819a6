//! Some rows or columns of a matrix, and several matrices in one.

use std::ops::Range;

use dfdx::tensor::SplitTape as _;

use super::custom::custom;
use crate::{
    Device, Features, OpError, Recording, Rows as _,
    backend::{Backend, Computed, on},
    tape::{NamedRows, Pass, join},
    values::Place,
};

/// The rows of several matrices of one width, one matrix after the other: `(N1, D)`, `(N2, D)`, ... to `(N1 + N2 + ..., D)`;
/// stays on the device.
///
/// The gradient of each matrix is that of its rows. [`concat_rows`](crate::concat_rows) is the same without a recording.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, concat_rows_of, features_from_rows};
///
/// let a = features_from_rows(&Device::default(), (1, 2), vec![1.0, 2.0], Recording::Off)?;
/// let b = features_from_rows(&Device::default(), (2, 2), vec![3.0, 4.0, 5.0, 6.0], Recording::Off)?;
/// assert_eq!(concat_rows_of(vec![a, b])?.rows(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When there is no matrix, their widths differ, or the device fails.
pub fn concat_rows_of(parts: Vec<Features>) -> Result<Features, OpError> {
    const OP: &str = "concat_rows_of";
    let Some(first) = parts.first() else {
        return Err(OpError::value(OP, "number of matrices", 0, "there must be at least one"));
    };
    let (device, d) = (first.device().clone(), first.d());
    if let Some(other) = parts.iter().map(|part| part.d()).find(|width| *width != d) {
        return Err(OpError::shape(OP, "width of a matrix", d, other));
    }
    Ok(on!(Place::of_process(), |backend| concat(backend, &device, parts, d))?)
}

fn concat<B: Backend>(backend: B, device: &Device, parts: Vec<Features>, d: usize) -> Computed<Features> {
    let (mut recording, mut n) = (Recording::Off, 0);
    let (mut values, mut names) = (Vec::with_capacity(parts.len()), Vec::new());
    for part in parts {
        let rows = n..n + part.n();
        n = rows.end;
        let (part, own) = part.split_tape();
        if own.is_on() {
            names.push((NamedRows::of(&part), rows));
        }
        recording = join(recording, own);
        values.push(backend.of_matrix(&part)?);
    }
    let y = backend.concat(&values)?;
    let backward = move |pass: &mut Pass<'_>, gradient: B::Values| {
        names.into_iter().try_for_each(|(name, rows)| {
            let order: Vec<usize> = rows.collect();
            name.add(backend, pass, &backend.gather_rows(&gradient, d, &order)?)
        })
    };
    NamedRows::output(backend, device, (n, d), y, recording, Some(backward))
}

/// The same values in rows of another length, `(N, D)` to `(n_rows, N D / n_rows)`: row after row, as they lie; stays on the device.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, reshape_rows};
///
/// let x = features_from_rows(&Device::default(), (1, 4), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// let y = reshape_rows(x, 2)?;
/// assert_eq!(((y.n(), y.d()), y.rows()), ((2, 2), vec![1.0, 2.0, 3.0, 4.0]));
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the values are not those of so many rows, or the device fails.
pub fn reshape_rows(x: Features, n_rows: usize) -> Result<Features, OpError> {
    let n_values = x.n() * x.d();
    if n_rows == 0 || !n_values.is_multiple_of(n_rows) {
        let (what, expected) = ("number of values", format!("a multiple of {n_rows}, the number of rows"));
        return Err(OpError::Shape { op: "reshape_rows", what, expected, got: n_values.to_string() });
    }
    Ok(on!(Place::of_process(), |backend| reshape(backend, x, (n_rows, n_values / n_rows)))?)
}

fn reshape<B: Backend>(backend: B, x: Features, shape: (usize, usize)) -> Computed<Features> {
    let (values, name, recording) = NamedRows::split(backend, x)?;
    let device = name.device().clone();
    let backward = move |pass: &mut Pass<'_>, gradient: B::Values| name.add(backend, pass, &gradient);
    NamedRows::output(backend, &device, shape, values, recording, Some(backward))
}

/// The rows that `rows` names, in its order, `(N, D)` to `(rows.len(), D)`; a row may be named more than once.
///
/// The gradient of each row is the sum of those of its copies. [`select_rows`](crate::select_rows) is the same without a
/// recording.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, gather_rows};
///
/// let x = features_from_rows(&Device::default(), (3, 1), vec![1.0, 2.0, 3.0], Recording::Off)?;
/// assert_eq!(gather_rows(x, &[2, 0, 2])?.rows(), [3.0, 1.0, 3.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When no row is named, or one that there is not, or the device fails.
pub fn gather_rows(x: Features, rows: &[usize]) -> Result<Features, OpError> {
    const OP: &str = "gather_rows";
    let (n, d) = (x.n(), x.d());
    if rows.is_empty() {
        return Err(OpError::value(OP, "number of rows to gather", 0, "there must be at least one"));
    }
    if let Some(row) = rows.iter().find(|&&row| row >= n) {
        let expected = format!("less than {n}, the number of rows");
        return Err(OpError::Shape { op: OP, what: "a row to gather", expected, got: row.to_string() });
    }
    let order: Vec<usize> = rows.iter().flat_map(|&row| row * d..(row + 1) * d).collect();
    taken(x, (rows.len(), d), order)
}

/// The rows of a range, `(N, D)` to `(rows.len(), D)`.
///
/// The gradient of the other rows is 0.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, slice_rows};
///
/// let x = features_from_rows(&Device::default(), (3, 1), vec![1.0, 2.0, 3.0], Recording::Off)?;
/// assert_eq!(slice_rows(x, 1..3)?.rows(), [2.0, 3.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the range is empty or ends after the last row, or the device fails.
pub fn slice_rows(x: Features, rows: Range<usize>) -> Result<Features, OpError> {
    let (n, d) = (x.n(), x.d());
    let n_rows = check_range("slice_rows", "rows", &rows, n)?;
    taken(x, (n_rows, d), (rows.start * d..rows.end * d).collect())
}

/// The columns of a range, `(N, D)` to `(N, columns.len())`.
///
/// The gradient of the other columns is 0.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, slice_columns};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// assert_eq!(slice_columns(x, 1..2)?.rows(), [2.0, 4.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the range is empty or ends after the last column, or the device fails.
pub fn slice_columns(x: Features, columns: Range<usize>) -> Result<Features, OpError> {
    let (n, d) = (x.n(), x.d());
    let n_columns = check_range("slice_columns", "columns", &columns, d)?;
    let order = (0..n).flat_map(|row| row * d + columns.start..row * d + columns.end).collect();
    taken(x, (n, n_columns), order)
}

/// The columns of several matrices of one height, one matrix after the other: `(N, D1)`, `(N, D2)`, ... to
/// `(N, D1 + D2 + ...)`.
///
/// The gradient of each matrix is that of its columns.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, concat_columns, features_from_rows};
///
/// let a = features_from_rows(&Device::default(), (2, 1), vec![1.0, 2.0], Recording::Off)?;
/// let b = features_from_rows(&Device::default(), (2, 2), vec![3.0, 4.0, 5.0, 6.0], Recording::Off)?;
/// assert_eq!(concat_columns(vec![a, b])?.rows(), [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When there is no matrix, their numbers of rows differ, or the device fails.
pub fn concat_columns(parts: Vec<Features>) -> Result<Features, OpError> {
    const OP: &str = "concat_columns";
    let Some(first) = parts.first() else {
        return Err(OpError::value(OP, "number of matrices", 0, "there must be at least one"));
    };
    let n = first.n();
    if let Some(other) = parts.iter().map(|part| part.n()).find(|rows| *rows != n) {
        return Err(OpError::shape(OP, "number of rows of a matrix", n, other));
    }
    let widths: Vec<usize> = parts.iter().map(|part| part.d()).collect();
    let d = widths.iter().sum::<usize>();
    let values: Vec<Vec<f32>> = parts.iter().map(|part| part.rows()).collect();
    let mut y = Vec::with_capacity(n * d);
    for row in 0..n {
        for (values, width) in values.iter().zip(&widths) {
            y.extend_from_slice(&values[row * width..][..*width]);
        }
    }
    custom(parts, (n, d), y, move |gradient| {
        let mut gradients: Vec<Vec<f32>> = widths.iter().map(|width| Vec::with_capacity(n * width)).collect();
        for mut row in gradient.chunks(d) {
            for (gradient, width) in gradients.iter_mut().zip(&widths) {
                let (own, rest) = row.split_at(*width);
                gradient.extend_from_slice(own);
                row = rest;
            }
        }
        gradients
    })
}

/// The values from the upper left to the lower right, `(N, N)` to `(N, 1)`.
///
/// The gradient of the other values is 0.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, diagonal, features_from_rows};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// assert_eq!(diagonal(x)?.rows(), [1.0, 4.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When there are not as many rows as columns, or the device fails.
pub fn diagonal(x: Features) -> Result<Features, OpError> {
    let (n, d) = (x.n(), x.d());
    if n != d {
        return Err(OpError::shape("diagonal", "number of columns, that of the rows,", n, d));
    }
    taken(x, (n, 1), (0..n).map(|i| i * n + i).collect())
}

/// Rows as columns, `(N, D)` to `(D, N)`.
///
/// The gradient of the input is that of the output, transposed. A product with a transposed matrix has an operation of its
/// own, [`matmul_transposed`](crate::matmul_transposed).
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, transpose};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// assert_eq!(transpose(x)?.rows(), [1.0, 3.0, 2.0, 4.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn transpose(x: Features) -> Result<Features, OpError> {
    let (n, d) = (x.n(), x.d());
    taken(x, (d, n), (0..n * d).map(|i| i % n * d + i / n).collect())
}

/// The values at the places `order`; the gradients of what is taken more than once add up.
fn taken(x: Features, shape: (usize, usize), order: Vec<usize>) -> Result<Features, OpError> {
    let values = x.rows();
    let y = order.iter().map(|&place| values[place]).collect();
    let len = values.len();
    custom(vec![x], shape, y, move |gradient| {
        let mut sums = vec![0.0; len];
        for (&place, &value) in order.iter().zip(gradient) {
            sums[place] += value;
        }
        vec![sums]
    })
}

/// The length of a range within `len`.
fn check_range(
    op: &'static str,
    what: &'static str,
    range: &Range<usize>,
    len: usize,
) -> Result<usize, OpError> {
    if range.is_empty() || range.end > len {
        let expected = format!("a range within 0..{len} that is not empty");
        return Err(OpError::Shape { op, what, expected, got: format!("{range:?}") });
    }
    Ok(range.len())
}
