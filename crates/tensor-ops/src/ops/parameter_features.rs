//! A parameter as a matrix that operations take.

use crate::{
    Features, OpError, Parameter, Recording,
    backend::{Backend, Computed, on},
    tape::{NamedRows, Pass},
    values::Place,
};

/// The values of a parameter as rows: those of a [`Matrix`](crate::ParameterKind::Matrix) `(in, out)` as they are, those of a
/// parameter with one axis as one row, and those of one with more axes with the last one across. Its gradient is that of the
/// rows, if `recording` is on and the parameter trainable.
///
/// For layers whose weights are not used as they are, such as weights of unit length.
///
/// ```
/// use tensor_ops::{
///     Device, Parameter, ParameterKind, Recording, Rows, backward, parameter_features, square, sum_all,
/// };
///
/// let weight = Parameter::new(&Device::default(), ParameterKind::Matrix, &[2, 2], vec![1.0, 2.0, 3.0, 4.0])?;
/// let rows = parameter_features(&weight, Recording::start())?;
/// assert_eq!(rows.rows(), [1.0, 2.0, 3.0, 4.0]);
/// let mut gradients = backward(sum_all(square(rows)?)?)?;
/// assert_eq!(weight.take_gradient(&mut gradients)?, Some(vec![2.0, 4.0, 6.0, 8.0]));
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the parameter has no values, or the device fails.
pub fn parameter_features(parameter: &Parameter, recording: Recording) -> Result<Features, OpError> {
    const OP: &str = "parameter_features";
    let d = parameter.shape().last().copied().unwrap_or(1);
    if parameter.n_elements() == 0 {
        return Err(OpError::value(OP, "shape", parameter.shape(), "every size must be at least 1"));
    }
    let shape = (parameter.n_elements() / d, d);
    Ok(on!(Place::of_process(), |backend| rows_of(backend, parameter, shape, recording))?)
}

fn rows_of<B: Backend>(
    backend: B,
    parameter: &Parameter,
    shape: (usize, usize),
    recording: Recording,
) -> Computed<Features> {
    let rows = backend.upload(parameter.to_vec())?;
    let backward = parameter.is_trainable().then(|| {
        let slot = parameter.slot.clone();
        move |pass: &mut Pass<'_>, gradient: B::Values| slot.add(backend, pass.by_slot, gradient)
    });
    NamedRows::output(backend, parameter.device(), shape, rows, recording, backward)
}
