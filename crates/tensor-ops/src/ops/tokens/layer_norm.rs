//! Layer normalization.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{
    Device, Features, OpError, Parameter, ParameterKind, Rows as _, Tokens,
    backend::{Backend, Computed, LayerNormWanted, on},
    tape::{NamedRows, Pass},
    values::Place,
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

/// [`layer_norm`] of each row, `(N, D)`.
///
/// ```
/// use tensor_ops::{Device, LayerNorm, Recording, Rows, features_from_rows, layer_norm_features};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![1.0, 5.0], Recording::Off)?;
/// let norm = LayerNorm::new(&Device::default(), 2, 0.0)?;
/// assert_eq!(layer_norm_features(x, &norm)?.rows(), [-1.0, 1.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the number of features is another, or the device fails.
pub fn layer_norm_features(x: Features, norm: &LayerNorm) -> Result<Features, OpError> {
    check("layer_norm_features", x.d(), norm)?;
    Ok(on!(Place::of_process(), |backend| features_on(backend, x, norm))?)
}

fn features_on<B: Backend>(backend: B, x: Features, norm: &LayerNorm) -> Computed<Features> {
    let (shape, eps) = ((x.n(), x.d()), norm.eps);
    let (x, name, recording) = NamedRows::split(backend, x)?;
    let device = name.device().clone();
    let wants_scale = norm.scale.is_trainable().then(|| norm.scale.slot.clone());
    let wants_shift = norm.shift.is_trainable().then(|| norm.shift.slot.clone());
    let (y, kept) = backend.layer_norm(&x, &norm.scale.values, &norm.shift.values, eps, recording.is_on())?;
    let backward = kept.map(|kept| {
        let scale = Arc::clone(&norm.scale.values);
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            let (has_scale, has_shift) = (wants_scale.is_some(), wants_shift.is_some());
            let wanted = LayerNormWanted { x: true, before: None, scale: has_scale, shift: has_shift };
            let result = backend.layer_norm_backward(&kept, &x, &scale, eps, gradient, wanted)?;
            for (slot, sum) in [(wants_scale, result.scale), (wants_shift, result.shift)] {
                if let (Some(slot), Some(sum)) = (slot, sum) {
                    slot.add(backend, pass.by_slot, sum)?;
                }
            }
            match result.x {
                Some(by_x) => name.add(backend, pass, &by_x),
                None => Ok(()),
            }
        }
    });
    NamedRows::output(backend, &device, shape, y, recording, backward)
}

fn check(op: &'static str, d: usize, norm: &LayerNorm) -> Result<(), OpError> {
    for parameter in [&norm.scale, &norm.shift] {
        if parameter.n_elements() != d {
            return Err(OpError::shape(op, "values of scale and shift", d, parameter.n_elements()));
        }
    }
    Ok(())
}

fn layer_norm_on<B: Backend>(backend: B, x: Tokens, norm: &LayerNorm) -> Result<Tokens, OpError> {
    check("layer_norm", x.d(), norm)?;
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
