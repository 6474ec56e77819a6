//! From losses to gradients.

use dfdx::{
    shapes::HasShape,
    tensor::{Merge, PutTape, SplitTape, Trace},
    tensor_ops::Backward,
};

use crate::{
    Device, Features, Gradients, Matrix, OpError, Recording, Scalar,
    backend::{Backend, Computed, on},
    tape::{GradientWatch, Named, NamedRows, collected},
    values::Place,
};

/// The sum of losses, each weighing the same.
///
/// ```
/// use tensor_ops::{Device, Recording, features_from_rows, number, sum_all, sum_losses};
///
/// let row = |values| features_from_rows(&Device::default(), (1, 2), values, Recording::start());
/// let losses = vec![sum_all(row(vec![1.0, 2.0])?)?, sum_all(row(vec![3.0, 4.0])?)?];
/// assert_eq!(number(&sum_losses(losses)?), 10.0);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When there is no loss.
pub fn sum_losses(losses: Vec<Scalar>) -> Result<Scalar, OpError> {
    let Some(first) = losses.first() else {
        return Err(OpError::value("sum_losses", "number of losses", 0, "there must be at least one"));
    };
    let device = first.device().clone();
    Ok(on!(Place::of_process(), |backend| sum_on(backend, &device, losses))?)
}

fn sum_on<B: Backend>(backend: B, device: &Device, losses: Vec<Scalar>) -> Computed<Scalar> {
    let mut recording = Recording::Off;
    let (mut sum, mut names) = (None, Vec::with_capacity(losses.len()));
    for loss in losses {
        let (value, name, own) = Named::split(backend, loss)?;
        recording = recording.merge(own);
        names.push(name);
        sum = Some(match sum {
            None => value,
            Some(sum) => backend.sum(&sum, &value, false)?,
        });
    }
    let sum = match sum {
        Some(sum) => sum,
        None => backend.upload(vec![0.0])?,
    };
    Named::output(backend, device, sum, recording, move |pass, gradient| {
        names.iter().try_for_each(|name| name.add(backend, pass, &gradient))
    })
}

/// A loss times a number.
///
/// ```
/// use tensor_ops::{Device, Recording, features_from_rows, number, scale_loss, sum_all};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![1.0, 2.0], Recording::start())?;
/// assert_eq!(number(&scale_loss(sum_all(x)?, 0.5)?), 1.5);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn scale_loss(loss: Scalar, factor: f32) -> Result<Scalar, OpError> {
    Ok(on!(Place::of_process(), |backend| scale_on(backend, loss, factor))?)
}

fn scale_on<B: Backend>(backend: B, loss: Scalar, factor: f32) -> Computed<Scalar> {
    let device = loss.device().clone();
    let (value, name, recording) = Named::split(backend, loss)?;
    Named::output(backend, &device, backend.scaled(&value, factor)?, recording, move |pass, gradient| {
        name.add(backend, pass, &backend.scaled(&gradient, factor)?)
    })
}

/// `sum(x * weights)` over all `N * D` values: a scalar whose gradient in `x` is `weights`.
///
/// It sends a gradient that was computed elsewhere backward through what led to `x`.
///
/// ```
/// use tensor_ops::{Device, Recording, features_from_rows, number, weighted_sum};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![1.0, 2.0], Recording::start())?;
/// assert_eq!(number(&weighted_sum(x, &[10.0, 1.0])?), 12.0);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the number of weights is another.
pub fn weighted_sum(x: Features, weights: &[f32]) -> Result<Scalar, OpError> {
    let (n, d) = *x.shape();
    if weights.len() != n * d {
        return Err(OpError::shape("weighted_sum", "number of weights", n * d, weights.len()));
    }
    Ok(on!(Place::of_process(), |backend| {
        let weights = backend.upload(weights.to_vec())?;
        dot(backend, x, weights)
    })?)
}

fn dot<B: Backend>(backend: B, x: Features, weights: B::Values) -> Computed<Scalar> {
    let (x, name, recording) = NamedRows::split(backend, x)?;
    let sum = backend.dot(&x, &weights)?;
    with_gradient(backend, name, recording, sum, Some(weights))
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
    Ok(on!(Place::of_process(), |backend| {
        let (x, recording) = x.split_tape();
        let (value, gradient) = (backend.upload(vec![value])?, backend.upload(gradient)?);
        with_gradient(backend, NamedRows::of(&x), recording, value, Some(gradient))
    })?)
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
    Ok(on!(Place::of_process(), |backend| {
        let weights = backend.of_matrix(weights)?;
        dot(backend, x, weights)
    })?)
}

/// A loss whose gradient in a matrix is known with it; it is there if `recording` is on.
pub(super) fn with_gradient<B: Backend>(
    backend: B,
    x: NamedRows,
    recording: Recording,
    loss: B::Values,
    gradient: Option<B::Values>,
) -> Computed<Scalar> {
    let device = x.device().clone();
    Named::output(backend, &device, loss, recording, move |pass, scale| match gradient {
        Some(known) => x.add(backend, pass, &backend.scaled_by(&known, &scale)?),
        None => Ok(()),
    })
}

/// Runs what was recorded backward, from the loss to the parameters.
///
/// # Errors
///
/// When nothing was recorded, the device fails, or processes cannot exchange what batch norm takes together.
pub fn backward(loss: Scalar) -> Result<Gradients, OpError> {
    backward_onto(loss, Gradients::default())
}

/// [`backward`], which adds to the gradients of another pass in place.
///
/// # Errors
///
/// As [`backward`].
pub fn backward_onto(loss: Scalar, gradients: Gradients) -> Result<Gradients, OpError> {
    run_backward(loss, gradients, None)
}

/// [`backward_onto`], with the gradients of some parameters handed over while the pass runs.
///
/// # Errors
///
/// As [`backward`], and those of who takes the gradients.
pub fn backward_watched(
    loss: Scalar,
    gradients: Gradients,
    watch: GradientWatch,
) -> Result<Gradients, OpError> {
    run_backward(loss, gradients, Some(watch))
}

fn run_backward(
    loss: Scalar,
    gradients: Gradients,
    watch: Option<GradientWatch>,
) -> Result<Gradients, OpError> {
    let (loss, recording) = loss.split_tape();
    let Recording::On(tape) = recording else { return Err(OpError::NotRecorded { op: "backward" }) };
    collected(gradients, watch, |of_tensors| {
        let (loss, onto) = loss.traced(of_tensors).split_tape();
        loss.put_tape(onto.merge(tape)).try_backward()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rows as _, features_from_rows, gradient_of_rows};

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
