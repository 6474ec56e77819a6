//! Linear layers of tokens, with what follows them.

use std::sync::Arc;

use super::{Tokens, gelu::gelu};
use crate::{
    Gradients, OpError, Parameter,
    feature_map::join,
    linear::check,
    matrix::{Side, multiply},
    memory::add_to,
    rows::{add_to_rows, sum_rows},
};

/// `x * weight + bias`, `(N, T, in)` to `(N, T, out)`.
///
/// `weight` is a [`Matrix`](crate::ParameterKind::Matrix) `(in, out)`, `bias` has `out` values.
///
/// # Errors
///
/// When the sizes differ.
pub fn linear_tokens(x: Tokens, weight: &Parameter, bias: Option<&Parameter>) -> Result<Tokens, OpError> {
    apply("linear_tokens", x, weight, bias, Tail::Plain)
}

/// [`linear_tokens`], then GELU (exact, as `torch.nn.GELU()`), in one pass over memory.
///
/// When recorded, it keeps the slope of each GELU, as many values as the output: the values before GELU would take as
/// many, and their slopes another exponential.
///
/// # Errors
///
/// When the sizes differ.
pub fn linear_gelu_tokens(
    x: Tokens,
    weight: &Parameter,
    bias: Option<&Parameter>,
) -> Result<Tokens, OpError> {
    apply("linear_gelu_tokens", x, weight, bias, Tail::Gelu)
}

/// `residual + x * weight + bias`, in one pass over memory: the end of a residual branch.
///
/// # Errors
///
/// When the sizes differ.
pub fn linear_add_tokens(
    x: Tokens,
    weight: &Parameter,
    bias: Option<&Parameter>,
    residual: Tokens,
) -> Result<Tokens, OpError> {
    apply("linear_add_tokens", x, weight, bias, Tail::Add(residual))
}

/// What follows the product.
enum Tail {
    Plain,
    Gelu,
    Add(Tokens),
}

fn apply(
    op: &'static str,
    x: Tokens,
    weight: &Parameter,
    bias: Option<&Parameter>,
    tail: Tail,
) -> Result<Tokens, OpError> {
    let [n, t, n_in] = x.shape();
    let n_out = check(op, n_in, weight, bias)?;
    let shape = [n, t, n_out];
    if let Tail::Add(residual) = &tail
        && residual.shape() != shape
    {
        return Err(OpError::shape(op, "shape of the residual", shape, residual.shape()));
    }
    let n_rows = n * t;
    let mut y = multiply(Side::plain(&x.values, n_rows, n_in), Side::plain(&weight.values, n_in, n_out));
    if let Some(bias) = bias {
        add_to_rows(&mut y, &bias.values);
    }
    let device = x.device().clone();
    let (x, mut recording) = x.split_recording();
    let mut slopes = None;
    let mut wants_residual = None;
    match tail {
        Tail::Plain => {}
        Tail::Gelu => {
            let mut slope = vec![0.0; y.len()];
            for (y, slope) in y.iter_mut().zip(&mut slope) {
                (*y, *slope) = gelu(*y);
            }
            slopes = recording.is_on().then_some(slope);
        }
        Tail::Add(residual) => {
            add_to(&mut y, &residual.values);
            let (residual, other) = residual.split_recording();
            recording = join(recording, other);
            wants_residual = residual.needs_gradient.then_some(residual.slot);
        }
    }
    let wants_x = x.needs_gradient.then(|| (x.slot.clone(), Arc::clone(&weight.values)));
    let wants_weight = weight.is_trainable().then(|| (weight.slot.clone(), Arc::clone(&x.values)));
    let wants_bias = bias.filter(|bias| bias.is_trainable()).map(|bias| bias.slot.clone());
    let wants_any =
        wants_x.is_some() || wants_weight.is_some() || wants_bias.is_some() || wants_residual.is_some();
    let backward = wants_any.then(|| {
        move |gradients: &mut Gradients, mut gradient: Vec<f32>| {
            if let Some(slopes) = slopes {
                for (gradient, slope) in gradient.iter_mut().zip(slopes) {
                    *gradient *= slope;
                }
            }
            if let Some(slot) = wants_bias {
                slot.add(gradients, sum_rows(&gradient, n_out))?;
            }
            if let Some((slot, x)) = wants_weight {
                let sum = multiply(Side::transposed(&x, n_rows, n_in), Side::plain(&gradient, n_rows, n_out));
                slot.add(gradients, sum)?;
            }
            if let Some((slot, weight)) = wants_x {
                let sum =
                    multiply(Side::plain(&gradient, n_rows, n_out), Side::transposed(&weight, n_in, n_out));
                slot.add(gradients, sum)?;
            }
            match wants_residual {
                Some(slot) => slot.add(gradients, gradient),
                None => Ok(()),
            }
        }
    });
    Tokens::output(&device, shape, Arc::new(y), recording, backward)
}
