//! Layer normalization.

use std::sync::Arc;

use rayon::prelude::*;

use super::Tokens;
use crate::{
    Device, Gradients, OpError, Parameter, ParameterKind,
    memory::split_mut,
    rows::rows_in_task,
    simd::{Family, Kernel, Lanes, for_registers, read_some, sum_lanes, write_some},
    values::Values,
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
    layer_norm_with(Family::detected(), x, norm)
}

pub(super) fn layer_norm_with(family: Family, x: Tokens, norm: &LayerNorm) -> Result<Tokens, OpError> {
    let d = x.d();
    for parameter in [&norm.scale, &norm.shift] {
        if parameter.n_elements() != d {
            return Err(OpError::shape("layer_norm", "values of scale and shift", d, parameter.n_elements()));
        }
    }
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::layer_norm(x, norm);
    }
    let (device, shape) = (x.device().clone(), x.shape());
    let task_len = rows_in_task(d) * d;
    let len = x.values.len();
    let lens: Vec<usize> = (0..len).step_by(task_len).map(|start| task_len.min(len - start)).collect();
    let range = move |part: usize, len: usize| part * task_len..part * task_len + len;
    // Slices, since a parameter of the CUDA device does not go from thread to thread.
    let (scale, shift, eps) = (&norm.scale.values[..], &norm.shift.values[..], norm.eps);
    let values = Values::build(x.precision(), &lens, |part, out| {
        x.values.with_part(range(part, out.len()), |x| {
            family.run(ForwardRows { x, scale, shift, eps, out });
        });
    });
    let (x, recording) = x.split_recording();
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    let wants_scale = norm.scale.is_trainable().then(|| norm.scale.slot.clone());
    let wants_shift = norm.shift.is_trainable().then(|| norm.shift.slot.clone());
    let backward = (wants_x.is_some() || wants_scale.is_some() || wants_shift.is_some()).then(|| {
        let (x, scale, eps) = (x.values, Arc::clone(&norm.scale.values), norm.eps);
        move |gradients: &mut Gradients, mut gradient: Vec<f32>| {
            // What has reached the input by another branch grows where it is.
            let mut sum = match &wants_x {
                Some(slot) => slot.take(gradients)?,
                None => None,
            };
            let sums: Vec<Option<&mut [f32]>> = match &mut sum {
                Some(sum) => split_mut(sum, &lens).into_iter().map(Some).collect(),
                None => lens.iter().map(|_| None).collect(),
            };
            let (by_scale, by_shift): (Vec<_>, Vec<_>) = split_mut(&mut gradient, &lens)
                .into_par_iter()
                .zip(sums)
                .enumerate()
                .map(|(part, (gradient, sum))| {
                    x.with_part(range(part, gradient.len()), |x| {
                        family.run(BackwardRows { gradient, x, scale: &scale, eps, sum })
                    })
                })
                .unzip();
            if let Some(slot) = wants_scale {
                slot.add(gradients, total(&by_scale))?;
            }
            if let Some(slot) = wants_shift {
                slot.add(gradients, total(&by_shift))?;
            }
            match wants_x {
                Some(slot) => slot.put(gradients, sum.unwrap_or(gradient)),
                None => Ok(()),
            }
        }
    });
    Tokens::output(&device, shape, Arc::new(values), recording, backward)
}

/// The sum of vectors, in their order.
fn total(partial: &[Vec<f32>]) -> Vec<f32> {
    let len = partial.first().map_or(0, Vec::len);
    let at = |i: usize| partial.iter().map(|part| f64::from(part[i])).sum::<f64>() as f32;
    (0..len).map(at).collect()
}

/// The mean, and one over the root of the variance plus `eps`.
#[inline(always)]
fn statistics<L: Lanes>(x: &[f32], eps: f32) -> (f32, f32) {
    let share = 1.0 / x.len() as f32;
    let mut sum = L::zero();
    for_registers!(L, x.len(), |at, n| {
        sum = L::add(sum, read_some::<L, _>(x, at, n, 0.0));
    });
    let mean = sum_lanes::<L>(sum) * share;
    let mut squares = L::zero();
    for_registers!(L, x.len(), |at, n| {
        let distance = L::sub(read_some::<L, _>(x, at, n, mean), L::splat(mean));
        squares = L::mul_add(distance, distance, squares);
    });
    (mean, 1.0 / (sum_lanes::<L>(squares) * share + eps).sqrt())
}

struct ForwardRows<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for ForwardRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { x, scale, shift, eps, out } = self;
        let d = scale.len();
        for (out, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
            let (mean, inv_std) = statistics::<L>(x, eps);
            let (mean, inv_std) = (L::splat(mean), L::splat(inv_std));
            for_registers!(L, d, |at, n| {
                let normalized = L::mul(L::sub(read_some::<L, _>(x, at, n, 0.0), mean), inv_std);
                let (scale, shift) =
                    (read_some::<L, _>(scale, at, n, 0.0), read_some::<L, _>(shift, at, n, 0.0));
                write_some::<L, _>(out, at, n, L::mul_add(normalized, scale, shift));
            });
        }
    }
}

struct BackwardRows<'a> {
    /// Of the output; becomes that of the input, unless there is a `sum` to add it to.
    gradient: &'a mut [f32],
    x: &'a [f32],
    scale: &'a [f32],
    eps: f32,
    sum: Option<&'a mut [f32]>,
}

impl Kernel for BackwardRows<'_> {
    /// The gradients of scale and shift.
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Output {
        let Self { gradient, x, scale, eps, mut sum } = self;
        let d = scale.len();
        let share = 1.0 / d as f32;
        let (mut by_scale, mut by_shift) = (vec![0.0; d], vec![0.0; d]);
        for (row, (gradient, x)) in gradient.chunks_exact_mut(d).zip(x.chunks_exact(d)).enumerate() {
            let (mean, inv_std) = statistics::<L>(x, eps);
            let (middle, inv_std) = (L::splat(mean), L::splat(inv_std));
            let (mut plain, mut along) = (L::zero(), L::zero());
            for_registers!(L, d, |at, n| {
                let own = read_some::<L, _>(gradient, at, n, 0.0);
                let normalized = L::mul(L::sub(read_some::<L, _>(x, at, n, mean), middle), inv_std);
                let shift = L::add(read_some::<L, _>(&by_shift, at, n, 0.0), own);
                write_some::<L, _>(&mut by_shift, at, n, shift);
                let by = L::mul_add(own, normalized, read_some::<L, _>(&by_scale, at, n, 0.0));
                write_some::<L, _>(&mut by_scale, at, n, by);
                let scaled = L::mul(own, read_some::<L, _>(scale, at, n, 0.0));
                plain = L::add(plain, scaled);
                along = L::mul_add(scaled, normalized, along);
            });
            let plain = L::splat(sum_lanes::<L>(plain) * share);
            let along = L::splat(-sum_lanes::<L>(along) * share);
            let mut sum = sum.as_mut().map(|sum| &mut sum[row * d..][..d]);
            for_registers!(L, d, |at, n| {
                let scaled =
                    L::mul(read_some::<L, _>(gradient, at, n, 0.0), read_some::<L, _>(scale, at, n, 0.0));
                let normalized = L::mul(L::sub(read_some::<L, _>(x, at, n, mean), middle), inv_std);
                let by_x = L::mul(L::mul_add(normalized, along, L::sub(scaled, plain)), inv_std);
                match &mut sum {
                    None => write_some::<L, _>(gradient, at, n, by_x),
                    Some(sum) => {
                        let by_x = L::add(read_some::<L, _>(sum, at, n, 0.0), by_x);
                        write_some::<L, _>(sum, at, n, by_x);
                    }
                }
            });
        }
        (by_scale, by_shift)
    }
}
