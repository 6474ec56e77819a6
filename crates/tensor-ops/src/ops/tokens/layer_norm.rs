//! Layer normalization.

use std::sync::Arc;

use crate::{
    Device, OpError, Parameter, ParameterKind, Tokens,
    backend::{Backend, LayerNormWanted, on},
    tape::Pass,
};

/// What layer normalization of `D` features learns (Ba et al. 2016, arXiv:1607.06450).
#[derive(Debug)]
pub struct LayerNorm {
    /// `D`, PyTorch's `weight`.
    pub scale: Parameter,
    /// `D`, PyTorch's `bias`.
    pub shift: Parameter,
    /// Added to the variance.
    pub eps: f32,
}

impl LayerNorm {
    /// Scale 1, shift 0.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn new(device: &Device, d: usize, eps: f32) -> Result<Self, OpError> {
        let vector = |value| Parameter::new(device, ParameterKind::Vector, &[d], vec![value; d]);
        Ok(Self { scale: vector(1.0)?, shift: vector(0.0)?, eps })
    }
}

/// Each token less its mean, over the root of its (biased) variance plus `eps`, times scale, plus shift.
///
/// # Errors
///
/// When the number of features is another.
pub fn layer_norm(x: Tokens, norm: &LayerNorm) -> Result<Tokens, OpError> {
    on!(x.values.place(), |backend| layer_norm_on(backend, x, norm))
}

pub(super) fn layer_norm_on<B: Backend>(backend: B, x: Tokens, norm: &LayerNorm) -> Result<Tokens, OpError> {
    let d = x.d();
    for parameter in [&norm.scale, &norm.shift] {
        if parameter.n_elements() != d {
            return Err(OpError::shape("layer_norm", "values of scale and shift", d, parameter.n_elements()));
        }
    }
    let (device, shape, eps) = (x.device().clone(), x.shape(), norm.eps);
    let (x, recording) = x.split_recording();
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    let wants_scale = norm.scale.is_trainable().then(|| norm.scale.slot.clone());
    let wants_shift = norm.shift.is_trainable().then(|| norm.shift.slot.clone());
    let wants_any = wants_x.is_some() || wants_scale.is_some() || wants_shift.is_some();
    let (y, kept) = backend.layer_norm(
        B::of(&x.values),
        &norm.scale.values,
        &norm.shift.values,
        eps,
        wants_any && recording.is_on(),
    )?;
    let backward = kept.map(|kept| {
        let (x, scale) = (x.values, Arc::clone(&norm.scale.values));
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            let wanted = LayerNormWanted {
                x: wants_x.is_some(),
                // What has reached the input by another branch grows where it is.
                before: wants_x.as_ref().and_then(|slot| slot.take::<B>(pass.by_slot)),
                scale: wants_scale.is_some(),
                shift: wants_shift.is_some(),
            };
            let result = backend.layer_norm_backward(&kept, B::of(&x), &scale, eps, gradient, wanted)?;
            for (slot, sum) in [(wants_scale, result.scale), (wants_shift, result.shift)] {
                if let (Some(slot), Some(sum)) = (slot, sum) {
                    slot.add(backend, pass.by_slot, sum)?;
                }
            }
            if let (Some(slot), Some(by_x)) = (wants_x, result.x) {
                slot.put::<B>(pass.by_slot, by_x);
            }
            Ok(())
        }
    });
    Ok(Tokens::output(backend, &device, shape, Arc::new(B::any(y)), recording, backward))
}
