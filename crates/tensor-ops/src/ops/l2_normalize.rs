//! Rows of unit length.

use crate::{
    Features, OpError, Rows as _,
    backend::{Backend, on},
    tape::{NamedRows, Pass},
    values::Place,
};

/// Each row divided by its length, `x / max(|x|, 1e-12)`, `(N, D)`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, l2_normalize};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![2.0, 0.0, 0.0, 0.0], Recording::Off)?;
/// assert_eq!(l2_normalize(x)?.rows(), [1.0, 0.0, 0.0, 0.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn l2_normalize(x: Features) -> Result<Features, OpError> {
    on!(Place::of_process(), |backend| l2_normalize_on(backend, x))
}

fn l2_normalize_on<B: Backend>(backend: B, x: Features) -> Result<Features, OpError> {
    let (n, d) = (x.n(), x.d());
    let (x, name, recording) = NamedRows::split(backend, x)?;
    let (y, lengths) = backend.unit_rows(x, d)?;
    let device = name.device().clone();
    let output = recording.is_on().then(|| backend.duplicate(&y)).transpose()?;
    let backward = output.map(|output| {
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            let by_x = backend.unit_rows_backward(gradient, &output, &lengths, d)?;
            name.add(backend, pass, &by_x)
        }
    });
    Ok(NamedRows::output(backend, &device, (n, d), y, recording, backward)?)
}
