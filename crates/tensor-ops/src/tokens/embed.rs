//! From images to tokens.

use std::sync::Arc;

use super::Tokens;
use crate::{
    FeatureMap, Gradients, OpError, Parameter,
    memory::build,
    rows::{add_to_rows, sum_rows},
    values::Values,
};

/// One token a position, the rows of an image one after the other: `(N, H, W, C)` to `(N, H * W, C)`.
///
/// # Errors
///
/// When the device fails.
pub fn tokens_from_map(x: FeatureMap) -> Result<Tokens, OpError> {
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return Ok(Tokens::of_map(x));
    }
    let device = x.device().clone();
    let layout = x.layout;
    let values = Arc::new(Values::new(layout.unpack(&x.values.whole()), x.precision()));
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let (x, precision) = (x.slot.clone(), x.precision());
        move |gradients: &mut Gradients, gradient: Vec<f32>| {
            x.add(gradients, Values::new(layout.pack(&gradient), precision))
        }
    });
    Tokens::output(&device, [layout.n, layout.h * layout.w, layout.c], values, recording, backward)
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
    add_repeated(x, table)
}

/// Adds `bias`, `D` values, to every token.
///
/// # Errors
///
/// When the number of values is another.
pub fn add_bias(x: Tokens, bias: &Parameter) -> Result<Tokens, OpError> {
    check("add_bias", "number of values of the bias", x.d(), bias)?;
    add_repeated(x, bias)
}

fn add_repeated(x: Tokens, row: &Parameter) -> Result<Tokens, OpError> {
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::add_row(x, row);
    }
    let (device, shape) = (x.device().clone(), x.shape());
    let (x, recording) = x.split_recording();
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    let wants_row = row.is_trainable().then(|| row.slot.clone());
    let precision = x.values.precision();
    let mut values = Values::take_whole(x.values);
    add_to_rows(&mut values, &row.values);
    let len = row.n_elements();
    let backward = (wants_x.is_some() || wants_row.is_some()).then_some(
        move |gradients: &mut Gradients, gradient: Vec<f32>| {
            if let Some(slot) = wants_row {
                slot.add(gradients, sum_rows(&gradient, len))?;
            }
            match wants_x {
                Some(slot) => slot.add(gradients, gradient),
                None => Ok(()),
            }
        },
    );
    Tokens::output(&device, shape, Arc::new(Values::new(values, precision)), recording, backward)
}

/// Puts `token`, `D` values, before the tokens of every image: `(N, T, D)` to `(N, T + 1, D)`.
///
/// # Errors
///
/// When the number of values is another.
pub fn prepend_token(x: Tokens, token: &Parameter) -> Result<Tokens, OpError> {
    let [n, t, d] = x.shape();
    check("prepend_token", "number of values of the token", d, token)?;
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::prepend_token(x, token);
    }
    // Slices, since a parameter of the CUDA device does not go from thread to thread.
    let (first, others) = (&token.values[..], &*x.values);
    let values = Values::build(x.precision(), &vec![(t + 1) * d; n], |image, out| {
        out[..d].copy_from_slice(first);
        others.with_part(image * t * d..(image + 1) * t * d, |others| out[d..].copy_from_slice(others));
    });
    let device = x.device().clone();
    let (x, recording) = x.split_recording();
    let wants_token = token.is_trainable().then(|| token.slot.clone());
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    drop(x);
    let backward = (wants_x.is_some() || wants_token.is_some()).then_some(
        move |gradients: &mut Gradients, gradient: Vec<f32>| {
            if let Some(slot) = wants_token {
                let first: Vec<f32> =
                    gradient.chunks_exact((t + 1) * d).flat_map(|image| &image[..d]).copied().collect();
                slot.add(gradients, sum_rows(&first, d))?;
            }
            match wants_x {
                Some(slot) => slot.add(gradients, without_first(&gradient, [n, t, d])),
                None => Ok(()),
            }
        },
    );
    Tokens::output(&device, [n, t + 1, d], Arc::new(values), recording, backward)
}

/// `(N, T + 1, D)` without token 0.
fn without_first(values: &[f32], [n, t, d]: [usize; 3]) -> Vec<f32> {
    build(&vec![t * d; n], |image, out| {
        out.copy_from_slice(&values[image * (t + 1) * d + d..][..t * d]);
    })
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
