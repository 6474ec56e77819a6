//! Scaled dot-product attention of several heads.

use std::sync::Arc;

use super::Tokens;
use crate::{Gradients, OpError, memory::build};

/// Softmax attention (Vaswani et al. 2017, arXiv:1706.03762, Eq. 1) of every image and head on its own,
/// `(N, T, 3 D)` to `(N, T, D)`.
///
/// Each token of `qkv` is `[q | k | v]`, each `[head][D / heads]`. Logits are scaled by `1 / sqrt(D / heads)`.
///
/// # Errors
///
/// When there is no head, or the width is not a multiple of `3 * heads`.
pub fn attention(qkv: Tokens, heads: usize) -> Result<Tokens, OpError> {
    let [n, t, width] = qkv.shape();
    if heads == 0 || !width.is_multiple_of(3 * heads) {
        let must = "the first must be a multiple of three times the second, which must not be 0";
        return Err(OpError::value("attention", "(width, heads)", (width, heads), must));
    }
    let d = width / 3;
    let sizes = Sizes { t, d, heads };
    let values = build(&vec![t * d; n], |image, out| forward(sizes, &qkv.values[image * t * width..], out));
    let device = qkv.device().clone();
    let (qkv, recording) = qkv.split_recording();
    let backward = qkv.needs_gradient.then(|| {
        let (slot, values) = (qkv.slot, qkv.values);
        move |gradients: &mut Gradients, gradient: Vec<f32>| {
            let sum = build(&vec![t * width; n], |image, sum| {
                let values = &values[image * t * width..];
                backward(sizes, values, &gradient[image * t * d..], sum);
            });
            slot.add(gradients, sum)
        }
    });
    Tokens::output(&device, [n, t, d], Arc::new(values), recording, backward)
}

#[derive(Clone, Copy)]
struct Sizes {
    t: usize,
    d: usize,
    heads: usize,
}

/// `(T, T)`.
fn probabilities(Sizes { t, d, heads }: Sizes, qkv: &[f32], head: usize) -> Vec<f32> {
    let dh = d / heads;
    let scale = 1.0 / (dh as f32).sqrt();
    let mut all = vec![0.0; t * t];
    for (i, row) in all.chunks_exact_mut(t).enumerate() {
        let q = &qkv[i * 3 * d + head * dh..][..dh];
        for (j, logit) in row.iter_mut().enumerate() {
            let k = &qkv[j * 3 * d + d + head * dh..][..dh];
            *logit = q.iter().zip(k).map(|(q, k)| q * k).sum::<f32>() * scale;
        }
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for logit in row.iter_mut() {
            *logit = (*logit - max).exp();
            sum += *logit;
        }
        for logit in row {
            *logit /= sum;
        }
    }
    all
}

fn forward(sizes: Sizes, qkv: &[f32], out: &mut [f32]) {
    let Sizes { t, d, heads } = sizes;
    let dh = d / heads;
    for head in 0..heads {
        let p = probabilities(sizes, qkv, head);
        for i in 0..t {
            let out = &mut out[i * d + head * dh..][..dh];
            for j in 0..t {
                let v = &qkv[j * 3 * d + 2 * d + head * dh..][..dh];
                for (out, v) in out.iter_mut().zip(v) {
                    *out += p[i * t + j] * v;
                }
            }
        }
    }
}

fn backward(sizes: Sizes, qkv: &[f32], gradient: &[f32], sum: &mut [f32]) {
    let Sizes { t, d, heads } = sizes;
    let dh = d / heads;
    let scale = 1.0 / (dh as f32).sqrt();
    for head in 0..heads {
        let p = probabilities(sizes, qkv, head);
        for i in 0..t {
            let gradient = &gradient[i * d + head * dh..][..dh];
            let p = &p[i * t..][..t];
            let by_p: Vec<f32> = (0..t)
                .map(|j| {
                    let v = &qkv[j * 3 * d + 2 * d + head * dh..][..dh];
                    gradient.iter().zip(v).map(|(gradient, v)| gradient * v).sum()
                })
                .collect();
            let mean = p.iter().zip(&by_p).map(|(p, by_p)| p * by_p).sum::<f32>();
            for j in 0..t {
                let by_logit = p[j] * (by_p[j] - mean) * scale;
                let (at_q, at_k) = (i * 3 * d + head * dh, j * 3 * d + d + head * dh);
                for c in 0..dh {
                    sum[at_q + c] += by_logit * qkv[at_k + c];
                    sum[at_k + c] += by_logit * qkv[at_q + c];
                    sum[at_k + d + c] += p[j] * gradient[c];
                }
            }
        }
    }
}
