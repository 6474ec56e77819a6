//! Scaled dot-product attention of several heads.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{
    OpError, Tokens,
    backend::{AttentionSpec, Backend, on},
    counting::{Counted, count, product},
    tape::Pass,
};

/// Softmax attention (Vaswani et al. 2017, arXiv:1706.03762, Eq. 1) of every image and head on its own,
/// `(N, T, 3 D)` to `(N, T, D)`.
///
/// Each token of `qkv` is `[q | k | v]`, each `[head][D / heads]`. Logits are scaled by `1 / sqrt(D / heads)`.
///
/// # Errors
///
/// When there is no head, or the width is not a multiple of `3 * heads`.
pub fn attention(qkv: Tokens, heads: usize) -> Result<Tokens, OpError> {
    on!(qkv.values.place(), |backend| attention_on(backend, qkv, heads))
}

fn attention_on<B: Backend>(backend: B, qkv: Tokens, heads: usize) -> Result<Tokens, OpError> {
    let [n, t, width] = qkv.shape();
    // No width but 0 is a multiple of 0.
    if heads.checked_mul(3).is_none_or(|parts| !width.is_multiple_of(parts)) {
        let must = "the first must be a multiple of three times the second, which must not be 0";
        return Err(OpError::value("attention", "(width, heads)", (width, heads), must));
    }
    let spec = AttentionSpec { n, t, heads, dh: width / 3 / heads };
    let device = qkv.device().clone();
    let (qkv, recording) = qkv.split_recording();
    let is_kept = qkv.needs_gradient && recording.is_on();
    let (y, kept) = backend.attention(spec, qkv.values, is_kept)?;
    count(|| {
        // Queries and keys, weights and values; backward, two for each of these.
        let products = product(&[2, n, spec.heads, t, t, spec.dh]);
        Counted {
            op: "attention",
            weight: None,
            output: vec![n, t, width / 3],
            products,
            backward_products: if is_kept { 2 * products } else { 0 },
        }
    });
    let slot = qkv.slot;
    let backward = kept.map(|kept| {
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            slot.add(backend, pass.by_slot, backend.attention_backward(spec, kept, gradient)?)
        }
    });
    Ok(Tokens::output(backend, &device, [n, t, width / 3], Arc::new(B::any(y)), recording, backward))
}
