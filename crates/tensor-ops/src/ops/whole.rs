//! From a matrix to a loss, and from a loss to its value.

use dfdx::tensor::AsArray as _;

use super::loss::{scale_loss, weighted_sum};
use crate::{Features, OpError, Rows as _, Scalar};

/// The sum of all `N * D` values, a loss; stays on the device.
///
/// The gradient of each value is 1.
///
/// ```
/// use tensor_ops::{Device, Recording, features_from_rows, number, sum_all};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// assert_eq!(number(&sum_all(x)?), 10.0);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn sum_all(x: Features) -> Result<Scalar, OpError> {
    let ones = vec![1.0; x.n() * x.d()];
    weighted_sum(x, &ones)
}

/// The mean of all `N * D` values, a loss; stays on the device.
///
/// The gradient of each value is `1 / (N D)`.
///
/// ```
/// use tensor_ops::{Device, Recording, features_from_rows, mean_all, number};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// assert_eq!(number(&mean_all(x)?), 2.5);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn mean_all(x: Features) -> Result<Scalar, OpError> {
    let n_values = x.n() * x.d();
    scale_loss(sum_all(x)?, 1.0 / n_values as f32)
}

/// The value of a loss.
///
/// ```
/// use tensor_ops::{Device, Recording, features_from_rows, number, sum_all};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![1.0, 2.0], Recording::start())?;
/// let loss = sum_all(x)?;
/// assert_eq!(number(&loss), 3.0);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
pub fn number(loss: &Scalar) -> f32 {
    loss.array()
}
