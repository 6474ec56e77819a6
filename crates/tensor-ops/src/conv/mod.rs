//! Convolution.

mod algorithm;
mod gather;
mod pack;
mod pixelwise;
mod plan;
#[cfg(test)]
mod tests;
mod weights;
mod winograd;

use std::sync::Arc;

pub use self::algorithm::ConvAlgorithm;
use self::{
    algorithm::Method,
    gather::Gather,
    pack::{pack_forward, pack_transposed},
    pixelwise::Pixelwise,
    plan::Plan,
    winograd::{Winograd, pairs::PairsWinograd},
};
use crate::{
    ConvGeometry, FeatureMap, OpError, Parameter, ParameterKind, Precision,
    device::MapSlot,
    layout::Layout,
    norm::ChannelSums,
    rows::{add_to_rows, sum_rows},
    simd::Family,
    values::Values,
};

/// Convolution (cross-correlation, as everywhere), `(N, H, W, I)` to `(N, OH, OW, O)`.
///
/// `weight` is a [`Kernel`](ParameterKind::Kernel) `(KH, KW, I, O)`, `bias` has `O` values. Gradients are computed for
/// what is trainable, and for `x` unless it is an input.
///
/// # Errors
///
/// When channels or kernel sizes differ, or the kernel does not fit into the image.
pub fn conv2d(
    x: FeatureMap,
    weight: &Parameter,
    bias: Option<&Parameter>,
    geometry: ConvGeometry,
    algorithm: ConvAlgorithm,
) -> Result<FeatureMap, OpError> {
    conv2d_with(Family::detected(), x, weight, bias, geometry, algorithm)
}

/// [`conv2d`] of a layer without a bias that batch normalization follows: each channel is summed up while it is in the cache,
/// and a [`batch_norm`](crate::batch_norm) in training need not read the output once more.
///
/// # Errors
///
/// As [`conv2d`].
pub fn conv2d_before_norm(
    x: FeatureMap,
    weight: &Parameter,
    geometry: ConvGeometry,
    algorithm: ConvAlgorithm,
) -> Result<FeatureMap, OpError> {
    let mut sums = None;
    let mut y = apply(Family::detected(), x, (weight, None), geometry, algorithm, Some(&mut sums))?;
    y.sums = sums.map(Arc::new);
    Ok(y)
}

pub(crate) fn conv2d_with(
    family: Family,
    x: FeatureMap,
    weight: &Parameter,
    bias: Option<&Parameter>,
    geometry: ConvGeometry,
    algorithm: ConvAlgorithm,
) -> Result<FeatureMap, OpError> {
    apply(family, x, (weight, bias), geometry, algorithm, None)
}

/// The convolution; `sums` asks for those of each channel, before the bias.
fn apply(
    family: Family,
    x: FeatureMap,
    (weight, bias): (&Parameter, Option<&Parameter>),
    geometry: ConvGeometry,
    algorithm: ConvAlgorithm,
    sums: Option<&mut Option<Vec<ChannelSums>>>,
) -> Result<FeatureMap, OpError> {
    let layout_in = x.layout;
    let layout_out = output_layout(layout_in, weight, bias, geometry)?;
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::conv2d(x, weight, bias, geometry, layout_out);
    }
    let precision = x.precision();
    let method = algorithm.method(family, precision, geometry, (layout_in.c, layout_out.c));
    let pack = |precision| pack_forward(family, &weight.values, layout_in.c, layout_out.c, precision);
    let is_summed = sums.is_some();
    let summed = match method {
        Method::Winograd => {
            let packed = pack(Precision::F32);
            Winograd::forward(family, geometry, layout_in, layout_out, &packed.values)
                .multiply(&x.values, precision, is_summed)
        }
        Method::PairsWinograd => {
            let packed = pack(Precision::F32);
            PairsWinograd::forward(geometry, layout_in, layout_out, &packed)
                .multiply(&x.values, precision, is_summed)
        }
        Method::Pixelwise => {
            Pixelwise { family, weight: &weight.values, n_in: layout_in.c, n_out: layout_out.c, precision }
                .forward(&x.values, is_summed)
        }
        Method::Gather => {
            let plan = Plan::forward(geometry, layout_in, layout_out);
            let packed = pack(precision);
            let gather = Gather { plan: &plan, from: layout_in, to: layout_out, packed: &packed };
            gather.multiply(&x.values, precision, is_summed)
        }
    };
    let mut values = summed.values;
    if let Some(sums) = sums {
        *sums = summed.sums;
    }
    if let Some(bias) = bias {
        let mut sums = values.into_whole();
        add_to_rows(&mut sums, &bias.values);
        values = Values::new(sums, precision);
    }

    let slot = MapSlot::new(x.device(), layout_out.len());
    let (x, recording) = x.split_recording();
    let wants_weight = weight.is_trainable().then(|| (weight.slot.clone(), Arc::clone(&x.values)));
    let wants_bias = bias.filter(|bias| bias.is_trainable()).map(|bias| bias.slot.clone());
    let wants_x = x.needs_gradient.then(|| (x.slot.clone(), Arc::clone(&weight.values)));
    if !recording.is_on() || (wants_weight.is_none() && wants_bias.is_none() && wants_x.is_none()) {
        return Ok(FeatureMap {
            values: Arc::new(values),
            layout: layout_out,
            slot,
            needs_gradient: false,
            recording,
            sums: None,
        });
    }
    drop(x);
    let backward = move |gradients: &mut crate::Gradients, gradient: Values| {
        if let Some(slot) = wants_bias {
            slot.add(gradients, sum_rows(&gradient.whole(), layout_out.c))?;
        }
        if let Some((slot, x)) = wants_weight {
            let sum = match method {
                Method::Winograd => {
                    let (x, gradient) = (x.whole(), gradient.whole());
                    winograd::gradient(family, geometry, layout_in, &x, layout_out, &gradient)
                }
                Method::PairsWinograd => {
                    winograd::pairs::gradient(family, geometry, layout_in, &x, layout_out, &gradient)
                }
                Method::Pixelwise => pixelwise::gradient(family, &x, layout_in, layout_out, &gradient),
                Method::Gather => weights::gradient(family, geometry, layout_in, &x, layout_out, &gradient),
            };
            slot.add(gradients, sum)?;
        }
        if let Some((slot, weight)) = wants_x {
            let pack = |precision| pack_transposed(family, &weight, layout_in.c, layout_out.c, precision);
            let before = slot.take(gradients)?;
            let sum = match method {
                Method::Winograd => {
                    let packed = pack(Precision::F32);
                    let winograd =
                        Winograd::backward(family, geometry, layout_out, layout_in, &packed.values);
                    multiply_onto(
                        before,
                        |sum| winograd.add_to(&gradient, sum),
                        || winograd.multiply(&gradient, precision, false).values,
                    )
                }
                Method::PairsWinograd => {
                    let packed = pack(Precision::F32);
                    let winograd = PairsWinograd::backward(geometry, layout_out, layout_in, &packed);
                    multiply_onto(
                        before,
                        |sum| winograd.add_to(&gradient, sum),
                        || winograd.multiply(&gradient, precision, false).values,
                    )
                }
                Method::Pixelwise => {
                    Pixelwise { family, weight: &weight, n_in: layout_in.c, n_out: layout_out.c, precision }
                        .backward(&gradient, before)
                }
                Method::Gather => {
                    let (packed, plan) = (pack(precision), Plan::backward(geometry, layout_in, layout_out));
                    let gather = Gather { plan: &plan, from: layout_out, to: layout_in, packed: &packed };
                    multiply_onto(
                        before,
                        |sum| gather.add_to(&gradient, sum),
                        || gather.multiply(&gradient, precision, false).values,
                    )
                }
            };
            slot.put(gradients, sum)?;
        }
        Ok(())
    };
    Ok(FeatureMap::output(slot, layout_out, Arc::new(values), recording, Some(backward)))
}

/// What was there with something added, or the first of its kind.
fn multiply_onto(
    before: Option<Values>,
    add: impl FnOnce(&mut Values),
    multiply: impl FnOnce() -> Values,
) -> Values {
    let Some(mut sum) = before else { return multiply() };
    add(&mut sum);
    sum
}

fn output_layout(
    from: Layout,
    weight: &Parameter,
    bias: Option<&Parameter>,
    geometry: ConvGeometry,
) -> Result<Layout, OpError> {
    const OP: &str = "conv2d";
    if weight.kind() != ParameterKind::Kernel {
        return Err(OpError::shape(OP, "kind of the weight", ParameterKind::Kernel, weight.kind()));
    }
    let n_outputs = weight.shape()[3];
    let expected = [geometry.kernel.0, geometry.kernel.1, from.c, n_outputs];
    if weight.shape() != expected {
        return Err(OpError::shape(OP, "shape of the weight", expected, weight.shape()));
    }
    if n_outputs == 0 {
        return Err(OpError::value(OP, "output channels", n_outputs, "there must be at least one"));
    }
    if let Some(bias) = bias
        && bias.shape() != [n_outputs]
    {
        return Err(OpError::shape(OP, "shape of the bias", [n_outputs], bias.shape()));
    }
    let (h, w) = geometry.output(from.h, from.w)?;
    Ok(Layout { n: from.n, h, w, c: n_outputs })
}
