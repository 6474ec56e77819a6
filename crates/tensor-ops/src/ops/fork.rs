//! One value in several places of a formula.

use dfdx::tensor::{NoneTape, PutTape as _, SplitTape as _};

use crate::{Features, Matrix, Recording};

/// The same value twice, for a formula that has it in two places: the gradients of both add up.
///
/// `(N, D)` to `(N, D)` twice. What led to `x` is recorded in the first of the two: if that one does not reach the loss,
/// neither do gradients reach what is before `x`. For a value without a gradient, see [`detach`].
///
/// ```
/// use tensor_ops::{
///     Device, Recording, Rows, backward, detach, features_from_rows, fork, gradient_of_rows, sum_all, times,
/// };
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![3.0, -1.0], Recording::start())?;
/// let name = detach(&x);
/// let (a, b) = fork(x);
/// let mut gradients = backward(sum_all(times(a, b)?)?)?;
/// // That of the squares is 2 x.
/// assert_eq!(gradient_of_rows(&name, &mut gradients)?.rows(), [6.0, -2.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
pub fn fork(x: Features) -> (Features, Features) {
    let (x, recording) = x.split_tape();
    // The tensor is the same, so its gradients add up.
    let again = if recording.is_on() { Recording::start() } else { Recording::Off };
    (x.clone().put_tape(recording), x.put_tape(again))
}

/// The value alone, without its recording: `(N, D)`.
///
/// It is also the name to ask for the gradient of `x` by, see [`gradient_of_rows`](crate::gradient_of_rows).
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, detach, features_from_rows};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![3.0, -1.0], Recording::start())?;
/// assert_eq!(detach(&x).rows(), [3.0, -1.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
pub fn detach(x: &Features) -> Matrix {
    x.retaped::<NoneTape>()
}

/// A matrix as an input of an operation, `(N, D)`; no gradient is computed for it.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, constant, detach, features_from_rows, minus};
///
/// // What x is more than itself: 0, with a gradient in the first term alone.
/// let x = features_from_rows(&Device::default(), (1, 2), vec![3.0, -1.0], Recording::start())?;
/// let target = detach(&x);
/// assert_eq!(minus(x, constant(&target))?.rows(), [0.0, 0.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
pub fn constant(x: &Matrix) -> Features {
    x.clone().put_tape(Recording::Off)
}
