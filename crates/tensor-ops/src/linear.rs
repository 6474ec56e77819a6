//! Linear layers.

use std::sync::Arc;

use dfdx::{
    shapes::HasShape,
    tensor::{PutTape, SplitTape, Tape, TensorFromVec},
};

use crate::{
    Features, OpError, Parameter, ParameterKind, device,
    matrix::{Side, multiply, outer_products},
    rows::add_to_rows,
    simd::Family,
    values::Lent,
};

/// `x * weight + bias`, `(N, in)` to `(N, out)`.
///
/// `weight` is a [`Matrix`](ParameterKind::Matrix) `(in, out)`, `bias` has `out` values.
///
/// # Errors
///
/// When the sizes differ.
pub fn linear(x: Features, weight: &Parameter, bias: Option<&Parameter>) -> Result<Features, OpError> {
    let (n, n_in) = *x.shape();
    let n_out = check("linear", n_in, weight, bias)?;
    #[cfg(feature = "cuda")]
    if crate::cuda::is_used() {
        return crate::cuda::linear(x, weight, bias, n_out);
    }
    let (x, mut recording) = x.split_tape();
    let family = Family::detected();
    let values = device::rows(&x);
    let mut y = multiply(family, &values, Side::plain(&weight.values, n_in, n_out));
    if let Some(bias) = bias {
        add_to_rows(&mut y, &bias.values);
    }
    let y = x.device().try_tensor_from_vec(y, (n, n_out))?;
    if recording.is_on() {
        let weights = Arc::clone(&weight.values);
        let wants_weight = weight.is_trainable().then(|| weight.slot.clone());
        let wants_bias = bias.filter(|bias| bias.is_trainable()).map(|bias| bias.slot.clone());
        let (x, out) = (x.ghost(), y.ghost());
        recording.add_backward_op(move |gradients| {
            let gradient = device::take(gradients.get_or_alloc_mut(&out)?)?;
            if wants_weight.is_some() || wants_bias.is_some() {
                let x = (Lent::F32(&values), n_in);
                let sums = outer_products(family, x, (Lent::F32(&gradient), n_out), wants_bias.is_some());
                if let Some(slot) = wants_weight {
                    slot.add(gradients, sums.weight)?;
                }
                if let Some(slot) = wants_bias {
                    slot.add(gradients, sums.bias)?;
                }
            }
            let sum = multiply(family, &gradient, Side::transposed(&weights, n_in, n_out));
            device::add(gradients.get_or_alloc_mut(&x)?, &sum)
        });
    }
    Ok(y.put_tape(recording))
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
