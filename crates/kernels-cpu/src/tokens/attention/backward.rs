//! The gradients of one image's queries, keys and values.

use super::{
    forward::Normalizer,
    sizes::{Left, Rows, Sizes},
};
use crate::simd::{Kernel, Lanes, TileMode, exp, read, sum_lanes, write};

/// One image, head after head.
pub(super) struct ImageBackward<'a> {
    pub(super) sizes: Sizes,
    /// `(T, 3 D)`.
    pub(super) qkv: &'a [f32],
    /// `(heads, T)`, of the forward pass.
    pub(super) normalizers: &'a [Normalizer],
    /// `(T, D)`.
    pub(super) gradient: &'a [f32],
    /// `(T, 3 D)`.
    pub(super) out: &'a mut [f32],
}

impl Kernel for ImageBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { sizes, qkv, normalizers, gradient, out } = self;
        let Sizes { t, heads, dh } = sizes;
        let (d, width, padded) = (sizes.d(), sizes.width(), sizes.padded_keys::<L>());
        let scale = 1.0 / (dh as f32).sqrt();
        let n_max = sizes.max_block();
        let mut columns = [(); 2].map(|()| vec![0.0; Rows::len_as_columns::<L>(t, dh)]);
        let mut keys = vec![0.0; Rows::len::<L>(t, dh)];
        let mut blocks = [(); 2].map(|()| vec![0.0; Rows::len::<L>(n_max, dh)]);
        let mut squares = [(); 2].map(|()| vec![0.0; n_max * padded]);
        let [key_columns, value_columns] = &mut columns;
        let [q_block, gradient_block] = &mut blocks;
        let [p, by_p] = &mut squares;
        for head in 0..heads {
            let [at_q, at_k, at_v] = sizes.starts(head);
            let rows = |start: usize| Rows { values: &qkv[start..], row: width, n: t, dh };
            rows(at_k).pack_as_columns::<L>(key_columns);
            rows(at_v).pack_as_columns::<L>(value_columns);
            rows(at_k).pack::<L>(&mut keys);
            for block in sizes.query_blocks() {
                let n = block.len();
                let q = Rows { values: &qkv[block.start * width + at_q..], row: width, n, dh };
                let gradient = Rows { values: &gradient[block.start * d + head * dh..], row: d, n, dh };
                q.pack::<L>(q_block);
                gradient.pack::<L>(gradient_block);
                let by_keys = |rows: Rows<'_>, columns: &[f32], out: &mut [f32]| {
                    let left = Left { values: rows.values, row: rows.row, step: 1, n_rows: n, n_steps: dh };
                    left.multiply::<L>(columns, padded, out, padded, TileMode::Store);
                };
                by_keys(q, key_columns, p);
                by_keys(gradient, value_columns, by_p);
                let rows = p.chunks_exact_mut(padded).zip(by_p.chunks_exact_mut(padded));
                for ((p, by_p), normalizer) in rows.zip(&normalizers[head * t..][block.clone()]) {
                    softmax_backward::<L>(p, by_p, t, scale, normalizer);
                }
                let by_logit = &*by_p;
                let left = Left { values: by_logit, row: padded, step: 1, n_rows: n, n_steps: t };
                left.multiply::<L>(&keys, dh, &mut out[block.start * width + at_q..], width, TileMode::Store);
                let mode = if block.start == 0 { TileMode::Store } else { TileMode::Add };
                let transposed = |values| Left { values, row: 1, step: padded, n_rows: t, n_steps: n };
                transposed(by_logit).multiply::<L>(q_block, dh, &mut out[at_k..], width, mode);
                transposed(p).multiply::<L>(gradient_block, dh, &mut out[at_v..], width, mode);
            }
        }
    }
}

/// From logits, before their scale, and the gradients of the probabilities to probabilities and the gradients of the
/// logits. What lies behind the first `t` is overwritten.
#[inline(always)]
fn softmax_backward<L: Lanes>(
    logits: &mut [f32],
    by_p: &mut [f32],
    t: usize,
    scale: f32,
    normalizer: &Normalizer,
) {
    logits[t..].fill(f32::MIN);
    let (factor, greatest) = (L::splat(scale), L::splat(normalizer.greatest));
    let inv_sum = L::splat(normalizer.inv_sum);
    let mut mean = L::zero();
    for (logits, by_p) in logits.chunks_exact_mut(L::N).zip(by_p.chunks_exact(L::N)) {
        let power = exp::<L>(L::mul(L::sub(read::<L>(logits), greatest), factor));
        let p = L::mul(power, inv_sum);
        write::<L>(logits, p);
        mean = L::mul_add(p, read::<L>(by_p), mean);
    }
    let mean = L::splat(sum_lanes::<L>(mean));
    for (p, by_p) in logits.chunks_exact(L::N).zip(by_p.chunks_exact_mut(L::N)) {
        let p = L::mul(read::<L>(p), factor);
        let by_logit = L::mul(p, L::sub(read::<L>(by_p), mean));
        write::<L>(by_p, by_logit);
    }
}
