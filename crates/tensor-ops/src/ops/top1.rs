//! The largest value of each row.

use crate::{Features, Rows as _};

/// The column of the largest value of each row, `(N, D)` to `N` numbers below `D`: the first of equal ones, and of NaN if there
/// is any, as in PyTorch's `argmax`. It has no gradient.
///
/// ```
/// use tensor_ops::{Device, Recording, features_from_rows, top1_row};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 3.0], Recording::Off)?;
/// assert_eq!(top1_row(&x), [1, 0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
pub fn top1_row(x: &Features) -> Vec<usize> {
    let first_largest = |row: &[f32]| {
        let is_less = |best: f32, value: f32| !best.is_nan() && (value.is_nan() || value > best);
        (1..row.len()).fold(0, |best, i| if is_less(row[best], row[i]) { i } else { best })
    };
    x.rows().chunks(x.d()).map(first_largest).collect()
}
