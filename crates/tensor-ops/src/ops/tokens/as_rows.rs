//! Tokens as rows, and rows as tokens.

use std::sync::Arc;

use crate::{
    Features, OpError, Rows as _, Tokens,
    backend::{Backend, Computed, on},
    tape::{NamedRows, Pass},
    values::Place,
};

/// Each token as a row, image after image: `(N, T, D)` to `(N * T, D)`, in single precision.
///
/// With [`tokens_from_rows`] every operation on rows is one on tokens, and with [`tokens_from_map`](crate::tokens_from_map) one on
/// the pixels of a map: [`custom`](crate::custom) too.
///
/// ```
/// use tensor_ops::{Device, OpError, Recording, Tokens, custom, rows_from_tokens, tokens_from_rows};
///
/// /// Twice the values of `x`, as an operation of one's own.
/// fn doubled(x: Tokens) -> Result<Tokens, OpError> {
///     let (shape, t) = ((x.n() * x.t(), x.d()), x.t());
///     let values = x.to_rows().iter().map(|x| 2.0 * x).collect();
///     let backward = |gradient: &[f32]| vec![gradient.iter().map(|gradient| 2.0 * gradient).collect()];
///     tokens_from_rows(custom(vec![rows_from_tokens(x)?], shape, values, backward)?, t)
/// }
///
/// let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
/// let x = Tokens::from_rows(&Device::default(), [2, 3, 2], values, Recording::start())?;
/// assert_eq!(doubled(x)?.to_rows()[..3], [0.0, 2.0, 4.0]);
/// # Ok::<(), OpError>(())
/// ```
///
/// # Errors
///
/// When the device has no room for a copy.
pub fn rows_from_tokens(x: Tokens) -> Result<Features, OpError> {
    Ok(on!(x.values.place(), |backend| to_rows(backend, x))?)
}

fn to_rows<B: Backend>(backend: B, x: Tokens) -> Computed<Features> {
    let ([n, t, d], precision) = (x.shape(), x.precision());
    let device = x.device().clone();
    let rows = backend.cast(backend.duplicate(B::of(&x.values))?, crate::Precision::F32)?;
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let x = x.slot;
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            x.add(backend, pass.by_slot, backend.cast(gradient, precision)?)
        }
    });
    NamedRows::output(backend, &device, (n * t, d), rows, recording, backward)
}

/// Rows as the tokens of images, `t` for each: `(N * T, D)` to `(N, T, D)`, what [`rows_from_tokens`] undoes.
///
/// # Errors
///
/// When the rows are not those of whole images, or the device has no room for a copy.
pub fn tokens_from_rows(x: Features, t: usize) -> Result<Tokens, OpError> {
    if t == 0 || !x.n().is_multiple_of(t) {
        let (what, expected) = ("number of rows", format!("a multiple of {t}, the tokens of an image"));
        return Err(OpError::Shape { op: "tokens_from_rows", what, expected, got: x.n().to_string() });
    }
    Ok(on!(Place::of_process(), |backend| of_rows(backend, x, t))?)
}

fn of_rows<B: Backend>(backend: B, x: Features, t: usize) -> Computed<Tokens> {
    let (n, d) = (x.n(), x.d());
    let (values, name, recording) = NamedRows::split(backend, x)?;
    let device = name.device().clone();
    let backward = recording
        .is_on()
        .then_some(move |pass: &mut Pass<'_>, gradient: B::Values| name.add(backend, pass, &gradient));
    Ok(Tokens::output(backend, &device, [n / t, t, d], Arc::new(B::any(values)), recording, backward))
}
