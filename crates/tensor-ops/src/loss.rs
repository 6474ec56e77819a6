//! From losses to gradients.

use dfdx::{
    shapes::HasShape,
    tensor::{AsArray, Merge, PutTape, SplitTape, Tape, TensorFromVec},
    tensor_ops::Backward,
};

use crate::{Features, Gradients, Matrix, OpError, Recording, Scalar, device};

/// The sum of losses, each weighing the same.
///
/// # Errors
///
/// When there is no loss.
pub fn sum_losses(losses: Vec<Scalar>) -> Result<Scalar, OpError> {
    let Some(first) = losses.first() else {
        return Err(OpError::value("sum_losses", "number of losses", 0, "there must be at least one"));
    };
    let device = first.device().clone();
    let mut recording = Recording::Off;
    let mut terms = Vec::with_capacity(losses.len());
    for loss in losses {
        let (term, own) = loss.split_tape();
        recording = recording.merge(own);
        terms.push(term);
    }
    #[cfg(feature = "cuda")]
    if crate::cuda::is_used() {
        return crate::cuda::sum_losses(terms, recording);
    }
    let sum = device.try_tensor_from_vec(vec![terms.iter().map(|term| term.array()).sum()], ())?;
    let (terms, out): (Vec<_>, _) = (terms.iter().map(|term| term.ghost()).collect(), sum.ghost());
    recording.add_backward_op(move |gradients| {
        let gradient = device::take(gradients.get_or_alloc_mut(&out)?)?;
        for term in &terms {
            device::add(gradients.get_or_alloc_mut(term)?, &gradient)?;
        }
        Ok(())
    });
    Ok(sum.put_tape(recording))
}

/// A loss times a number.
///
/// # Errors
///
/// When the device fails.
pub fn scale_loss(loss: Scalar, factor: f32) -> Result<Scalar, OpError> {
    #[cfg(feature = "cuda")]
    if crate::cuda::is_used() {
        return crate::cuda::scale_loss(loss, factor);
    }
    let (loss, mut recording) = loss.split_tape();
    let scaled = loss.device().try_tensor_from_vec(vec![loss.array() * factor], ())?;
    let (loss, out) = (loss.ghost(), scaled.ghost());
    recording.add_backward_op(move |gradients| {
        let gradient = device::take(gradients.get_or_alloc_mut(&out)?)?;
        let gradient: Vec<f32> = gradient.iter().map(|value| value * factor).collect();
        device::add(gradients.get_or_alloc_mut(&loss)?, &gradient)
    });
    Ok(scaled.put_tape(recording))
}

/// `sum(x * weights)` over all `N * D` values: a scalar whose gradient in `x` is `weights`.
///
/// It sends a gradient that was computed elsewhere backward through what led to `x`.
///
/// # Errors
///
/// When the number of weights is another.
pub fn weighted_sum(x: Features, weights: &[f32]) -> Result<Scalar, OpError> {
    let (n, d) = *x.shape();
    if weights.len() != n * d {
        return Err(OpError::shape("weighted_sum", "number of weights", n * d, weights.len()));
    }
    #[cfg(feature = "cuda")]
    if crate::cuda::is_used() {
        return crate::cuda::weighted_sum(x, weights);
    }
    let (x, recording) = x.split_tape();
    let values = device::rows(&x);
    let sum = values.iter().zip(weights).map(|(&x, &weight)| f64::from(x) * f64::from(weight)).sum::<f64>();
    with_gradient(&x, recording, sum as f32, || weights.to_vec())
}

/// A loss of `value` whose gradient in `x`, `(N, D)`, was computed beside it: for a loss that is not made of operations.
///
/// ```
/// use tensor_ops::{Device, Recording, features_from_rows, loss_with_gradient};
///
/// // The mean square of all values, and 2 x / (N D).
/// let rows = vec![1.0, 2.0, 3.0, 4.0];
/// let value = rows.iter().map(|x| x * x).sum::<f32>() / 4.0;
/// let gradient = rows.iter().map(|x| 2.0 * x / 4.0).collect();
/// let x = features_from_rows(&Device::default(), (2, 2), rows, Recording::Off)?;
/// let loss = loss_with_gradient(x, value, gradient)?;
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the gradient has another number of values.
pub fn loss_with_gradient(x: Features, value: f32, gradient: Vec<f32>) -> Result<Scalar, OpError> {
    let (n, d) = *x.shape();
    if gradient.len() != n * d {
        return Err(OpError::shape("loss_with_gradient", "values of the gradient", n * d, gradient.len()));
    }
    #[cfg(feature = "cuda")]
    if crate::cuda::is_used() {
        return crate::cuda::loss_with_gradient(x, value, gradient);
    }
    let (x, recording) = x.split_tape();
    with_gradient(&x, recording, value, || gradient)
}

/// [`weighted_sum`] with weights that are a matrix, and so where `x` is.
///
/// # Errors
///
/// When the shapes differ.
pub fn sum_weighted_by(x: Features, weights: &Matrix) -> Result<Scalar, OpError> {
    if weights.shape() != x.shape() {
        return Err(OpError::shape("sum_weighted_by", "shape of the weights", x.shape(), weights.shape()));
    }
    #[cfg(feature = "cuda")]
    if crate::cuda::is_used() {
        return crate::cuda::sum_weighted_by(x, weights);
    }
    weighted_sum(x, &device::rows(weights))
}

/// A loss of `value` whose gradient in `x` is known with it; asked for if `recording` is on.
pub(crate) fn with_gradient(
    x: &Matrix,
    mut recording: Recording,
    value: f32,
    gradient: impl FnOnce() -> Vec<f32>,
) -> Result<Scalar, OpError> {
    let loss = x.device().try_tensor_from_vec(vec![value], ())?;
    if recording.is_on() {
        let (x, out, known) = (x.ghost(), loss.ghost(), gradient());
        recording.add_backward_op(move |gradients| {
            let gradient = device::take(gradients.get_or_alloc_mut(&out)?)?;
            let scale = gradient.first().copied().unwrap_or(0.0);
            let scaled: Vec<f32> = known.iter().map(|value| value * scale).collect();
            device::add(gradients.get_or_alloc_mut(&x)?, &scaled)
        });
    }
    Ok(loss.put_tape(recording))
}

/// Runs what was recorded backward, from the loss to the parameters.
///
/// # Errors
///
/// When nothing was recorded, or the device fails.
pub fn backward(loss: Scalar) -> Result<Gradients, OpError> {
    let (loss, recording) = loss.split_tape();
    match recording {
        Recording::Off => Err(OpError::NotRecorded { op: "backward" }),
        Recording::On(tape) => Ok(loss.put_tape(tape).try_backward()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Rows as _, features_from_rows, gradient_of_rows};

    #[test]
    fn a_gradient_that_was_given_arrives_times_what_follows() {
        let rows = vec![0.5, -1.0, 2.0, 3.0, 0.0, 1.0];
        let given = vec![1.0, 2.0, -3.0, 0.25, 5.0, -6.0];
        let x = features_from_rows(&Device::default(), (3, 2), rows, Recording::start()).unwrap();
        let (x, recording) = x.split_tape();
        let input = x.clone();
        let loss = loss_with_gradient(x.put_tape(recording), 7.0, given.clone()).unwrap();
        let mut gradients = backward(scale_loss(loss, 2.0).unwrap()).unwrap();
        let doubled: Vec<f32> = given.iter().map(|value| 2.0 * value).collect();
        assert_eq!(gradient_of_rows(&input, &mut gradients).unwrap().rows().as_ref(), doubled);
        assert!(loss_with_gradient(input.put_tape(Recording::Off), 7.0, vec![0.0; 5]).is_err());
    }
}
