//! Convolution.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use kernels_cpu::{ConvGeometry, Layout};

use crate::{
    ConvAlgorithm, FeatureMap, OpError, Parameter, ParameterKind,
    backend::{Backend, ConvSpec, on},
    counting::{Counted, count, product},
    tape::Pass,
    values::{checked_len, too_large},
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
    let way = Way { geometry, algorithm, groups: 1 };
    on!(x.values.place(), |backend| conv2d_on(backend, x, (weight, bias), way, false))
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
    let way = Way { geometry, algorithm, groups: 1 };
    on!(x.values.place(), |backend| conv2d_on(backend, x, (weight, None), way, true))
}

/// [`conv2d`] in groups: the channels of `x` and those of the output are cut into `groups` of the same size each, and outputs
/// of a group see the inputs of that group alone (Krizhevsky et al. 2012; as the `groups` of PyTorch's `Conv2d`). `weight` is
/// `(KH, KW, I / groups, O)`. As many groups as inputs make a depthwise convolution, and one makes [`conv2d`].
///
/// # Errors
///
/// As [`conv2d`], and when `groups` do not divide the channels on both sides.
pub fn grouped_conv2d(
    x: FeatureMap,
    weight: &Parameter,
    bias: Option<&Parameter>,
    geometry: ConvGeometry,
    groups: usize,
) -> Result<FeatureMap, OpError> {
    let way = Way { geometry, algorithm: ConvAlgorithm::Direct, groups };
    on!(x.values.place(), |backend| conv2d_on(backend, x, (weight, bias), way, false))
}

/// [`grouped_conv2d`] of a layer without a bias that batch normalization follows, as [`conv2d_before_norm`].
///
/// # Errors
///
/// As [`grouped_conv2d`].
pub fn grouped_conv2d_before_norm(
    x: FeatureMap,
    weight: &Parameter,
    geometry: ConvGeometry,
    groups: usize,
) -> Result<FeatureMap, OpError> {
    let way = Way { geometry, algorithm: ConvAlgorithm::Direct, groups };
    on!(x.values.place(), |backend| conv2d_on(backend, x, (weight, None), way, true))
}

/// How channels and pixels are convolved.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) geometry: ConvGeometry,
    pub(crate) algorithm: ConvAlgorithm,
    pub(crate) groups: usize,
}

/// The convolution; `is_summed` asks for the sums of each channel.
pub(crate) fn conv2d_on<B: Backend>(
    backend: B,
    x: FeatureMap,
    (weight, bias): (&Parameter, Option<&Parameter>),
    way: Way,
    is_summed: bool,
) -> Result<FeatureMap, OpError> {
    let to = output_layout(x.layout, weight, bias, way)?;
    let Way { geometry, algorithm, groups } = way;
    let spec = ConvSpec { algorithm, geometry, groups, precision: x.precision(), from: x.layout, to };
    let (y, sums) = backend.convolve(
        spec,
        B::of(&x.values),
        &weight.values,
        bias.map(|bias| &*bias.values),
        is_summed,
    )?;
    let device = x.device().clone();
    let (x, recording) = x.split_recording();
    let wants_weight = weight.is_trainable().then(|| (weight.slot.clone(), Arc::clone(&x.values)));
    let wants_bias = bias.filter(|bias| bias.is_trainable()).map(|bias| bias.slot.clone());
    let wants_x = x.needs_gradient.then(|| (x.slot.clone(), Arc::clone(&weight.values)));
    count(|| {
        // Of a kernel in groups, the weights of a channel are as many as its group has inputs.
        let products = product(&[to.n, to.h, to.w, weight.n_elements()]);
        let n_backward = u64::from(wants_weight.is_some()) + u64::from(wants_x.is_some());
        Counted {
            op: "conv2d",
            weight: Some(weight.id()),
            output: vec![to.n, to.h, to.w, to.c],
            products,
            backward_products: if recording.is_on() { n_backward * products } else { 0 },
        }
    });
    // Unless the gradient of the weights needs them, the values may go.
    drop(x);
    let is_wanted = wants_weight.is_some() || wants_bias.is_some() || wants_x.is_some();
    let backward = is_wanted.then_some(move |pass: &mut Pass<'_>, gradient: B::Values| {
        if let Some(slot) = wants_bias {
            slot.add(backend, pass.by_slot, backend.sum_rows(&gradient, to.c)?)?;
        }
        if let Some((slot, x)) = wants_weight {
            let before = slot.take::<B>(pass.by_slot);
            let sum = backend.convolve_weights(spec, B::of(&x), &gradient, before)?;
            slot.put::<B>(pass.by_slot, sum);
        }
        if let Some((slot, weight)) = wants_x {
            let before = slot.take::<B>(pass.by_slot);
            let sum = backend.convolve_data(spec, &gradient, &weight, before)?;
            slot.put::<B>(pass.by_slot, sum);
        }
        Ok(())
    });
    let mut y = FeatureMap::output(backend, &device, to, Arc::new(B::any(y)), recording, backward);
    y.sums = sums.map(|sums| Arc::new(sums) as _);
    Ok(y)
}

fn output_layout(
    from: Layout,
    weight: &Parameter,
    bias: Option<&Parameter>,
    Way { geometry, groups, .. }: Way,
) -> Result<Layout, OpError> {
    const OP: &str = "conv2d";
    if weight.kind() != ParameterKind::Kernel {
        return Err(OpError::shape(OP, "kind of the weight", ParameterKind::Kernel, weight.kind()));
    }
    let n_outputs = weight.shape()[3];
    // No number but 0 is a multiple of 0.
    if !from.c.is_multiple_of(groups) || !n_outputs.is_multiple_of(groups) {
        let must = "it must divide the channels of the input and those of the output";
        return Err(OpError::value(OP, "the number of groups", groups, must));
    }
    let expected = [geometry.kernel.0, geometry.kernel.1, from.c / groups, n_outputs];
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
    let shape = [from.n, h, w, n_outputs];
    if checked_len(&shape).is_none() {
        return Err(too_large(OP, "shape of the output", shape));
    }
    Ok(Layout { n: from.n, h, w, c: n_outputs })
}
