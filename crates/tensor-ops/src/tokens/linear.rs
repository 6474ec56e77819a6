//! Linear layers of tokens, with what follows them.

use std::sync::Arc;

use super::Tokens;
use crate::{
    Gradients, OpError, Parameter, Precision,
    feature_map::join,
    linear::check,
    matrix::{Packed, RowsProduct, Side, outer_products, scale},
    simd::Family,
    values::{Lent, Values},
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
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and it is soon taken apart")]
pub(crate) enum Tail {
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
    let family = Family::detected();
    if let Tail::Add(residual) = &tail
        && residual.shape() != shape
    {
        return Err(OpError::shape(op, "shape of the residual", shape, residual.shape()));
    }
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::linear_tokens(x, weight, bias, tail);
    }
    let precision = x.precision();
    let packed = Packed::new(family, Side::plain(&weight.values, n_in, n_out), precision);
    let bias_values = bias.map(|bias| &bias.values[..]);
    let mut product = RowsProduct { packed: &packed, bias: bias_values, residual: None };
    let device = x.device().clone();
    let (x, mut recording) = x.split_recording();
    let wants_x = x.needs_gradient.then(|| (x.slot.clone(), Arc::clone(&weight.values)));
    let wants_weight = weight.is_trainable().then(|| weight.slot.clone());
    let wants_bias = bias.filter(|bias| bias.is_trainable()).map(|bias| bias.slot.clone());
    let wants_own = wants_x.is_some() || wants_weight.is_some() || wants_bias.is_some();
    let mut slopes = None;
    let mut wants_residual = None;
    let x_values = x.values.lend();
    let y = match tail {
        Tail::Plain => product.multiply(x_values, precision),
        Tail::Gelu if recording.is_on() && wants_own => {
            let (y, own) = product.multiply_gelu(x_values, precision);
            slopes = Some(own);
            y
        }
        Tail::Gelu => product.multiply_gelu_only(x_values, precision),
        Tail::Add(residual) => {
            product.residual = Some(residual.values.lend());
            let y = product.multiply(x_values, precision);
            let (residual, other) = residual.split_recording();
            recording = join(recording, other);
            wants_residual = residual.needs_gradient.then_some(residual.slot);
            y
        }
    };
    let backward = (wants_own || wants_residual.is_some()).then(|| {
        let x = (wants_weight.is_some() || wants_bias.is_some()).then_some(x.values);
        move |gradients: &mut Gradients, mut gradient: Vec<f32>| {
            if let Some((slot, weight)) = wants_x {
                let packed = Packed::new(family, Side::transposed(&weight, n_in, n_out), precision);
                let product = RowsProduct::plain(&packed);
                let sum = match (slopes.take(), slot.take(gradients)?) {
                    (Some(slopes), None) => product.multiply_scaled(&mut gradient, slopes.lend()),
                    (None, None) => product.multiply(Lent::F32(&gradient), Precision::F32).into_whole(),
                    (slopes, Some(sum)) => {
                        if let Some(slopes) = slopes {
                            scale(family, &mut gradient, &slopes.whole());
                        }
                        let mut sum = Values::F32(sum);
                        product.add_to(Lent::F32(&gradient), &mut sum);
                        sum.into_whole()
                    }
                };
                slot.put(gradients, sum)?;
            }
            if let Some(slopes) = slopes {
                scale(family, &mut gradient, &slopes.whole());
            }
            if let Some(x) = x {
                let x = (x.lend(), n_in);
                let sums = outer_products(family, x, (Lent::F32(&gradient), n_out), wants_bias.is_some());
                if let Some(slot) = wants_weight {
                    slot.add(gradients, sums.weight)?;
                }
                if let Some(slot) = wants_bias {
                    slot.add(gradients, sums.bias)?;
                }
            }
            match wants_residual {
                Some(slot) => slot.add(gradients, gradient),
                None => Ok(()),
            }
        }
    });
    Tokens::output(&device, shape, Arc::new(y), recording, backward)
}
