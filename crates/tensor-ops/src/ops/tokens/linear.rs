//! Linear layers of tokens, with what follows them.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{
    OpError, Parameter, Tokens,
    backend::{self, Backend, LinearSpec, LinearWanted, on},
    counting::{Counted, count, product},
    ops::linear::check,
    tape::{Pass, join},
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
/// When recorded, it keeps as many values for its backward pass as its output has: on the host the slope of each GELU, which
/// saves another exponential, and on the CUDA device the value before it, which saves a pass over memory.
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
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and it is soon taken apart")]
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
    on!(x.values.place(), |backend| apply_on(backend, op, x, (weight, bias), tail))
}

fn apply_on<B: Backend>(
    backend: B,
    op: &'static str,
    x: Tokens,
    (weight, bias): (&Parameter, Option<&Parameter>),
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
    let precision = x.precision();
    let spec = LinearSpec { n_rows: n * t, n_in, n_out, precision, is_of_features: false };
    let device = x.device().clone();
    let (x, mut recording) = x.split_recording();
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    let wants_weight = weight.is_trainable().then(|| weight.slot.clone());
    let wants_bias = bias.filter(|bias| bias.is_trainable()).map(|bias| bias.slot.clone());
    let wants_own = wants_x.is_some() || wants_weight.is_some() || wants_bias.is_some();
    let is_kept = wants_own && recording.is_on();
    let run = |tail| {
        let bias = bias.map(|bias| &*bias.values);
        backend.linear(spec, B::of(&x.values), &weight.values, bias, tail)
    };
    let mut wants_residual = None;
    let (y, gelu) = match tail {
        Tail::Plain => run(backend::Tail::Nothing)?,
        Tail::Gelu => run(backend::Tail::Gelu { is_kept })?,
        Tail::Add(residual) => {
            let y = run(backend::Tail::Add(B::of(&residual.values)))?;
            let (residual, other) = residual.split_recording();
            recording = join(recording, other);
            wants_residual = residual.needs_gradient.then_some(residual.slot);
            y
        }
    };
    count(|| {
        let products = product(&[n, t, n_in, n_out]);
        let n_backward = u64::from(wants_weight.is_some()) + u64::from(wants_x.is_some());
        Counted {
            op,
            weight: Some(weight.id()),
            output: shape.to_vec(),
            products,
            backward_products: if recording.is_on() { n_backward * products } else { 0 },
        }
    });
    let backward = (wants_own || wants_residual.is_some()).then(|| {
        let x = wants_weight.is_some().then_some(x.values);
        let weight = Arc::clone(&weight.values);
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            let wanted = LinearWanted {
                x: wants_x.is_some(),
                x_before: wants_x.as_ref().and_then(|slot| slot.take::<B>(pass.by_slot)),
                weight: wants_weight.is_some(),
                weight_before: wants_weight.as_ref().and_then(|slot| slot.take::<B>(pass.by_slot)),
                bias: wants_bias.is_some(),
                residual: wants_residual.is_some(),
            };
            let x = x.as_deref().map(B::of);
            let result = backend.linear_backward(spec, &weight, x, gelu, gradient, wanted)?;
            for (slot, sum) in [(wants_x, result.x), (wants_weight, result.weight)] {
                if let (Some(slot), Some(sum)) = (slot, sum) {
                    slot.put::<B>(pass.by_slot, sum);
                }
            }
            // After the others, since an input may be its own residual.
            for (slot, sum) in [(wants_bias, result.bias), (wants_residual, result.residual)] {
                if let (Some(slot), Some(sum)) = (slot, sum) {
                    slot.add(backend, pass.by_slot, sum)?;
                }
            }
            Ok(())
        }
    });
    Ok(Tokens::output(backend, &device, shape, Arc::new(B::any(y)), recording, backward))
}
