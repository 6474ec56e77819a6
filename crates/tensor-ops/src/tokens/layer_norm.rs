//! Layer normalisation.

use std::sync::Arc;

use rayon::prelude::*;

use super::Tokens;
use crate::{
    Device, Gradients, OpError, Parameter, ParameterKind,
    memory::{build, split_mut},
    rows::rows_in_task,
};

/// What layer normalisation of `D` features learns (Ba et al. 2016, arXiv:1607.06450).
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
    let d = x.d();
    for parameter in [&norm.scale, &norm.shift] {
        if parameter.n_elements() != d {
            return Err(OpError::shape("layer_norm", "values of scale and shift", d, parameter.n_elements()));
        }
    }
    let (device, shape) = (x.device().clone(), x.shape());
    let rows = rows_in_task(d);
    let lens: Vec<usize> = (0..x.n_rows()).step_by(rows).map(|row| rows.min(x.n_rows() - row) * d).collect();
    let values = build(&lens, |part, out| {
        let x = &x.values[part * rows * d..][..out.len()];
        for (out, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
            let (mean, inv_std) = statistics(x, norm.eps);
            for ((out, x), (scale, shift)) in
                out.iter_mut().zip(x).zip(norm.scale.values.iter().zip(norm.shift.values.iter()))
            {
                *out = (x - mean) * inv_std * scale + shift;
            }
        }
    });
    let (x, recording) = x.split_recording();
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    let wants_scale = norm.scale.is_trainable().then(|| norm.scale.slot.clone());
    let wants_shift = norm.shift.is_trainable().then(|| norm.shift.slot.clone());
    let backward = (wants_x.is_some() || wants_scale.is_some() || wants_shift.is_some()).then(|| {
        let (x, scale, eps) = (x.values, Arc::clone(&norm.scale.values), norm.eps);
        move |gradients: &mut Gradients, mut gradient: Vec<f32>| {
            let partial: Vec<(Vec<f32>, Vec<f32>)> = split_mut(&mut gradient, &lens)
                .into_par_iter()
                .zip(x.par_chunks(rows * d))
                .map(|(gradient, x)| backward_rows(gradient, x, &scale, eps))
                .collect();
            let total = |of: fn(&(Vec<f32>, Vec<f32>)) -> &[f32]| -> Vec<f32> {
                let total = |at: usize| partial.iter().map(|part| f64::from(of(part)[at])).sum::<f64>();
                (0..d).map(|at| total(at) as f32).collect()
            };
            if let Some(slot) = wants_scale {
                slot.add(gradients, total(|part| &part.0))?;
            }
            if let Some(slot) = wants_shift {
                slot.add(gradients, total(|part| &part.1))?;
            }
            match wants_x {
                Some(slot) => slot.add(gradients, gradient),
                None => Ok(()),
            }
        }
    });
    Tokens::output(&device, shape, Arc::new(values), recording, backward)
}

fn statistics(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let var = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    (mean as f32, (1.0 / (var + f64::from(eps)).sqrt()) as f32)
}

fn backward_rows(gradient: &mut [f32], x: &[f32], scale: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let d = scale.len();
    let (mut by_scale, mut by_shift) = (vec![0.0; d], vec![0.0; d]);
    for (gradient, x) in gradient.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
        let (mean, inv_std) = statistics(x, eps);
        let (mut plain, mut along) = (0.0_f64, 0.0_f64);
        for at in 0..d {
            let normalised = (x[at] - mean) * inv_std;
            by_scale[at] += gradient[at] * normalised;
            by_shift[at] += gradient[at];
            gradient[at] *= scale[at];
            plain += f64::from(gradient[at]);
            along += f64::from(gradient[at] * normalised);
        }
        let (plain, along) = ((plain / d as f64) as f32, (along / d as f64) as f32);
        for at in 0..d {
            let normalised = (x[at] - mean) * inv_std;
            gradient[at] = (gradient[at] - plain - normalised * along) * inv_std;
        }
    }
    (by_scale, by_shift)
}
