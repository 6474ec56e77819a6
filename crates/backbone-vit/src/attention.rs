//! Where the last block looks.

use plugin_api::AttentionMaps;
use tensor_ops::{OpError, Tokens};

use crate::block::Block;

/// The attention of the class token to each patch, for every head of `last`; of a network without a class token, the mean of
/// what all patches pay. `x` is what comes into the block, `(N, T, D)`; the patches are its last tokens, `(rows, columns)` of
/// them.
///
/// # Errors
/// If the device fails.
pub(crate) fn of_last_block(
    last: &Block,
    x: Tokens,
    grid: (usize, usize),
    has_class_token: bool,
) -> Result<AttentionMaps, OpError> {
    let [n, t, d] = x.shape();
    let heads = last.n_heads();
    let qkv = last.queries_keys_values(x)?.to_rows(); // (N, T, 3D)
    let n_patches = grid.0 * grid.1;
    let first_patch = t - n_patches;
    let from: Vec<usize> = if has_class_token { vec![0] } else { (first_patch..t).collect() };
    let mut values = Vec::with_capacity(n * heads * n_patches);
    for image in qkv.chunks_exact(t * 3 * d) {
        for head in 0..heads {
            let mut map = vec![0.0; n_patches];
            for &query in &from {
                let shares = attention(image, [t, d], heads, head, query);
                for (sum, share) in map.iter_mut().zip(&shares[first_patch..]) {
                    *sum += share / from.len() as f64;
                }
            }
            values.extend(map.into_iter().map(|share| share as f32));
        }
    }
    Ok(AttentionMaps {
        what: match has_class_token {
            true => "attention of the class token in the last block",
            false => "attention of all patches in the last block, on average",
        },
        names: (1..=heads).map(|head| format!("head {head}")).collect(),
        size: grid,
        values,
    })
}

/// The shares of token `query` of one image, `(T, 3D)`: softmax of the scaled products with all keys, of head number `head`.
fn attention(qkv: &[f32], [t, d]: [usize; 2], heads: usize, head: usize, query: usize) -> Vec<f64> {
    let width = d / heads;
    // Each token is `[q | k | v]`, each of them `[head][width]`.
    let part = |token: usize, part: usize| &qkv[token * 3 * d + part * d + head * width..][..width];
    let own = part(query, 0);
    let scale = 1.0 / (width as f64).sqrt();
    let product = |key: &[f32]| own.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>();
    let logits: Vec<f64> = (0..t).map(|token| scale * product(part(token, 1))).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / sum).collect()
}
