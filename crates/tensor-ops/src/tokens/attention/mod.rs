//! Scaled dot-product attention of several heads.
//!
//! A task is an image, head after head, so that everything it touches stays in a core's caches. No matrix of
//! probabilities outlives its head: the backward pass computes them anew from queries, keys and what normalized each
//! softmax.

mod backward;
mod forward;
mod sizes;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::{
    backward::ImageBackward,
    forward::{ImageForward, Normalizer},
    sizes::Sizes,
};
use super::Tokens;
use crate::{Gradients, OpError, memory::build, simd::Family, values::Values};

/// Softmax attention (Vaswani et al. 2017, arXiv:1706.03762, Eq. 1) of every image and head on its own,
/// `(N, T, 3 D)` to `(N, T, D)`.
///
/// Each token of `qkv` is `[q | k | v]`, each `[head][D / heads]`. Logits are scaled by `1 / sqrt(D / heads)`.
///
/// # Errors
///
/// When there is no head, or the width is not a multiple of `3 * heads`.
pub fn attention(qkv: Tokens, heads: usize) -> Result<Tokens, OpError> {
    attention_with(Family::detected(), qkv, heads)
}

fn attention_with(family: Family, qkv: Tokens, heads: usize) -> Result<Tokens, OpError> {
    let [n, t, width] = qkv.shape();
    if heads == 0 || !width.is_multiple_of(3 * heads) {
        let must = "the first must be a multiple of three times the second, which must not be 0";
        return Err(OpError::value("attention", "(width, heads)", (width, heads), must));
    }
    #[cfg(feature = "cuda")]
    if qkv.values.on_device().is_some() {
        return crate::cuda::attention(qkv, heads);
    }
    let sizes = Sizes { t, heads, dh: width / 3 / heads };
    let mut normalizers = vec![Normalizer::default(); n * heads * t];
    let images = normalizers.chunks_mut(heads * t).collect();
    let lens = vec![t * sizes.d(); n];
    let values = Values::build_beside(qkv.precision(), &lens, images, |image, normalizers, out| {
        qkv.values.with_part(image * t * width..(image + 1) * t * width, |qkv| {
            family.run(ImageForward { sizes, qkv, out, normalizers });
        });
    });
    let device = qkv.device().clone();
    let (qkv, recording) = qkv.split_recording();
    let backward = qkv.needs_gradient.then(|| {
        let (slot, qkv) = (qkv.slot, qkv.values);
        move |gradients: &mut Gradients, gradient: Vec<f32>| {
            let sum = build(&vec![t * width; n], |image, out| {
                qkv.with_part(image * t * width..(image + 1) * t * width, |qkv| {
                    family.run(ImageBackward {
                        sizes,
                        qkv,
                        normalizers: &normalizers[image * heads * t..][..heads * t],
                        gradient: &gradient[image * t * sizes.d()..][..t * sizes.d()],
                        out,
                    });
                });
            });
            slot.add(gradients, sum)
        }
    });
    Tokens::output(&device, [n, t, sizes.d()], Arc::new(values), recording, backward)
}
