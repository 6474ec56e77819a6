//! From images to tokens.

use std::sync::Arc;

use kernels_cpu::Layout;

use crate::{
    FeatureMap, OpError, Parameter, Tokens,
    backend::{Backend, on},
    tape::Pass,
};

/// One token a position, the rows of an image one after the other: `(N, H, W, C)` to `(N, H * W, C)`.
///
/// # Errors
///
/// When the device fails.
pub fn tokens_from_map(x: FeatureMap) -> Result<Tokens, OpError> {
    on!(x.values.place(), |backend| from_map(backend, x))
}

fn from_map<B: Backend>(backend: B, x: FeatureMap) -> Result<Tokens, OpError> {
    let (device, layout, precision) = (x.device().clone(), x.layout, x.precision());
    let values = backend.tokens_of_map(layout, &x.values)?;
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let x = x.slot;
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            x.add(backend, pass.by_slot, backend.map_of_tokens(layout, gradient, precision)?)
        }
    });
    Ok(Tokens::output(
        backend,
        &device,
        [layout.n, layout.h * layout.w, layout.c],
        values,
        recording,
        backward,
    ))
}

/// Tokens as the pixels of maps of `size`, height and width: `(N, H * W, C)` to `(N, H, W, C)`, what [`tokens_from_map`] undoes.
///
/// For convolutions between operations on tokens, such as a layer norm of each pixel.
///
/// ```
/// use tensor_ops::{Device, FeatureMap, Recording, map_from_tokens, tokens_from_map};
///
/// let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
/// let map = FeatureMap::from_nhwc(&Device::default(), [1, 2, 3, 2], &values, Recording::Off)?;
/// assert_eq!(map_from_tokens(tokens_from_map(map)?, (2, 3))?.to_nhwc(), values);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When there are not as many tokens as pixels, or the device fails.
pub fn map_from_tokens(x: Tokens, size: (usize, usize)) -> Result<FeatureMap, OpError> {
    let (h, w) = size;
    if h.checked_mul(w) != Some(x.t()) {
        let expected = format!("{h} * {w}, those of the map");
        let (what, got) = ("number of tokens", x.t().to_string());
        return Err(OpError::Shape { op: "map_from_tokens", what, expected, got });
    }
    on!(x.values.place(), |backend| to_map(backend, x, size))
}

fn to_map<B: Backend>(backend: B, x: Tokens, (h, w): (usize, usize)) -> Result<FeatureMap, OpError> {
    let (device, precision) = (x.device().clone(), x.precision());
    let layout = Layout { n: x.n(), h, w, c: x.d() };
    let values = backend.duplicate(B::of(&x.values))?;
    let values = Arc::new(B::any(backend.map_of_tokens(layout, values, precision)?));
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let x = x.slot;
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            let gradient = backend.tokens_of_map(layout, &Arc::new(B::any(gradient)))?;
            let gradient = match Arc::try_unwrap(gradient) {
                Ok(gradient) => B::owned(gradient),
                Err(shared) => backend.duplicate(B::of(&shared))?,
            };
            x.add(backend, pass.by_slot, gradient)
        }
    });
    Ok(FeatureMap::output(backend, &device, layout, values, recording, backward))
}

/// Adds a table of positions, `(T, D)`, to the tokens of every image.
///
/// `table` has `T * D` values, whatever its shape.
///
/// # Errors
///
/// When the number of values is another.
pub fn add_position(x: Tokens, table: &Parameter) -> Result<Tokens, OpError> {
    let [_, t, d] = x.shape();
    check("add_position", "number of values of the table", t * d, table)?;
    on!(x.values.place(), |backend| add_repeated(backend, x, table))
}

/// Adds `bias`, `D` values, to every token.
///
/// # Errors
///
/// When the number of values is another.
pub fn add_bias(x: Tokens, bias: &Parameter) -> Result<Tokens, OpError> {
    check("add_bias", "number of values of the bias", x.d(), bias)?;
    on!(x.values.place(), |backend| add_repeated(backend, x, bias))
}

fn add_repeated<B: Backend>(backend: B, x: Tokens, row: &Parameter) -> Result<Tokens, OpError> {
    let (device, shape) = (x.device().clone(), x.shape());
    let (x, recording) = x.split_recording();
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    let wants_row = row.is_trainable().then(|| row.slot.clone());
    let width = row.n_elements();
    let y = backend.add_row(x.values, &row.values)?;
    let backward = (wants_x.is_some() || wants_row.is_some()).then_some(
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            if let Some(slot) = wants_row {
                slot.add(backend, pass.by_slot, backend.sum_rows(&gradient, width)?)?;
            }
            match wants_x {
                Some(slot) => slot.add(backend, pass.by_slot, gradient),
                None => Ok(()),
            }
        },
    );
    Ok(Tokens::output(backend, &device, shape, Arc::new(B::any(y)), recording, backward))
}

/// Puts `token`, `D` values, before the tokens of every image: `(N, T, D)` to `(N, T + 1, D)`.
///
/// # Errors
///
/// When the number of values is another.
pub fn prepend_token(x: Tokens, token: &Parameter) -> Result<Tokens, OpError> {
    check("prepend_token", "number of values of the token", x.d(), token)?;
    on!(x.values.place(), |backend| prepend(backend, x, token))
}

/// Puts `tokens`, `R` of `D` values each, before those of every image: `(N, T, D)` to `(N, R + T, D)`.
///
/// # Errors
///
/// When the values are not those of whole tokens.
pub fn prepend_tokens(x: Tokens, tokens: &Parameter) -> Result<Tokens, OpError> {
    let whole = (tokens.n_elements() / x.d()).max(1) * x.d();
    check("prepend_tokens", "number of values of the tokens", whole, tokens)?;
    on!(x.values.place(), |backend| prepend(backend, x, tokens))
}

fn prepend<B: Backend>(backend: B, x: Tokens, token: &Parameter) -> Result<Tokens, OpError> {
    let [n, t, d] = x.shape();
    let r = token.n_elements() / d;
    let y = backend.prepend(B::of(&x.values), &token.values, r, [n, t, d])?;
    let (device, shape) = (x.device().clone(), [n, r + t, d]);
    let (x, recording) = x.split_recording();
    let wants_token = token.is_trainable().then(|| token.slot.clone());
    let wants_x = x.needs_gradient.then_some(x.slot);
    let backward = (wants_x.is_some() || wants_token.is_some()).then_some(
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            if let Some(slot) = wants_token {
                let firsts = backend.take_tokens(&gradient, shape, 0, r)?;
                slot.add(backend, pass.by_slot, backend.sum_rows(&firsts, r * d)?)?;
            }
            match wants_x {
                Some(slot) => slot.add(backend, pass.by_slot, backend.take_tokens(&gradient, shape, r, t)?),
                None => Ok(()),
            }
        },
    );
    Ok(Tokens::output(backend, &device, shape, Arc::new(B::any(y)), recording, backward))
}

fn check(
    op: &'static str,
    what: &'static str,
    expected: usize,
    parameter: &Parameter,
) -> Result<(), OpError> {
    if parameter.n_elements() != expected {
        return Err(OpError::shape(op, what, expected, parameter.n_elements()));
    }
    Ok(())
}
