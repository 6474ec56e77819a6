//! Linear layers.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use kernels_cpu::Precision;

use crate::{
    Features, OpError, Parameter, ParameterKind, Rows as _,
    backend::{Backend, LinearSpec, LinearWanted, Tail, on},
    counting::{Counted, count, product},
    tape::{NamedRows, Pass},
    values::Place,
};

/// `x * weight + bias`, `(N, in)` to `(N, out)`.
///
/// `weight` is a [`Matrix`](ParameterKind::Matrix) `(in, out)`, `bias` has `out` values.
///
/// # Errors
///
/// When the sizes differ.
pub fn linear(x: Features, weight: &Parameter, bias: Option<&Parameter>) -> Result<Features, OpError> {
    on!(Place::of_process(), |backend| linear_on(backend, x, weight, bias))
}

fn linear_on<B: Backend>(
    backend: B,
    x: Features,
    weight: &Parameter,
    bias: Option<&Parameter>,
) -> Result<Features, OpError> {
    let (n, n_in) = (x.n(), x.d());
    let n_out = check("linear", n_in, weight, bias)?;
    let spec = LinearSpec { n_rows: n, n_in, n_out, precision: Precision::F32, is_of_features: true };
    let (x, name, recording) = NamedRows::split(backend, x)?;
    let (y, _) = backend.linear(spec, &x, &weight.values, bias.map(|bias| &*bias.values), Tail::Nothing)?;
    let device = name.device().clone();
    let weights = Arc::clone(&weight.values);
    let wants_weight = weight.is_trainable().then(|| weight.slot.clone());
    let wants_bias = bias.filter(|bias| bias.is_trainable()).map(|bias| bias.slot.clone());
    count(|| {
        let products = product(&[n, n_in, n_out]);
        // The gradient of the input, and that of the weight.
        let n_backward = 1 + u64::from(wants_weight.is_some());
        Counted {
            op: "linear",
            weight: Some(weight.id()),
            output: vec![n, n_out],
            products,
            backward_products: if recording.is_on() { n_backward * products } else { 0 },
        }
    });
    let backward = move |pass: &mut Pass<'_>, gradient: B::Values| {
        let wanted = LinearWanted {
            x: true,
            x_before: None,
            weight: wants_weight.is_some(),
            weight_before: wants_weight.as_ref().and_then(|slot| slot.take::<B>(pass.by_slot)),
            bias: wants_bias.is_some(),
            residual: false,
        };
        let result = backend.linear_backward(spec, &weights, Some(&x), None, gradient, wanted)?;
        if let (Some(slot), Some(by_weight)) = (wants_weight, result.weight) {
            slot.put::<B>(pass.by_slot, by_weight);
        }
        if let (Some(slot), Some(by_bias)) = (wants_bias, result.bias) {
            slot.add(backend, pass.by_slot, by_bias)?;
        }
        match result.x {
            Some(by_x) => name.add(backend, pass, &by_x),
            None => Ok(()),
        }
    };
    Ok(NamedRows::output(backend, &device, (n, n_out), y, recording, Some(backward))?)
}

/// The number of output features of a layer that fits an input of `n_in`.
pub(crate) fn check(
    op: &'static str,
    n_in: usize,
    weight: &Parameter,
    bias: Option<&Parameter>,
) -> Result<usize, OpError> {
    if weight.kind() != ParameterKind::Matrix {
        return Err(OpError::shape(op, "kind of the weight", ParameterKind::Matrix, weight.kind()));
    }
    let (rows, n_out) = (weight.shape()[0], weight.shape()[1]);
    if rows != n_in {
        return Err(OpError::shape(op, "rows of the weight", n_in, rows));
    }
    if n_out == 0 {
        return Err(OpError::value(op, "output features", n_out, "there must be at least one"));
    }
    if let Some(bias) = bias
        && bias.shape() != [n_out]
    {
        return Err(OpError::shape(op, "shape of the bias", [n_out], bias.shape()));
    }
    Ok(n_out)
}
