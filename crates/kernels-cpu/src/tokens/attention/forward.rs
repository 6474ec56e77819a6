//! The attended values of one image.

use super::sizes::{Left, Rows, Sizes};
use crate::simd::{
    Kernel, Lanes, TileMode, exp, for_registers, max_lane, read, read_some, sum_lanes, write, write_some,
};

/// One image, head after head.
pub(super) struct ImageForward<'a> {
    pub(super) sizes: Sizes,
    /// `(T, 3 D)`.
    pub(super) qkv: &'a [f32],
    /// `(T, D)`.
    pub(super) out: &'a mut [f32],
    /// `(heads, T)`.
    pub(super) normalizers: &'a mut [Normalizer],
}

/// What turns the logits of one query into probabilities: `exp(scale * (logit - greatest)) * inv_sum`.
///
/// The two apart, not the logarithm of the sum of exponentials: where one key has nearly all of the probability, the
/// logarithm would round it away from 1, and the gradient of its logit is what 1 is short of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Normalizer {
    /// The greatest logit, before its scale.
    pub greatest: f32,
    /// One over the sum of the exponentials.
    pub inv_sum: f32,
}

impl Kernel for ImageForward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { sizes, qkv, out, normalizers } = self;
        let Sizes { t, heads, dh } = sizes;
        let (d, width, padded) = (sizes.d(), sizes.width(), sizes.padded_keys::<L>());
        let scale = 1.0 / (dh as f32).sqrt();
        let mut keys = vec![0.0; Rows::len_as_columns::<L>(t, dh)];
        let mut values = vec![0.0; Rows::len::<L>(t, dh)];
        let mut logits = vec![0.0; sizes.max_block() * padded];
        for head in 0..heads {
            let [at_q, at_k, at_v] = sizes.starts(head);
            let rows = |start: usize| Rows { values: &qkv[start..], row: width, n: t, dh };
            rows(at_k).pack_as_columns::<L>(&mut keys);
            rows(at_v).pack::<L>(&mut values);
            for block in sizes.query_blocks() {
                let n_rows = block.len();
                let q = &qkv[block.start * width + at_q..];
                Left { values: q, row: width, step: 1, n_rows, n_steps: dh }.multiply::<L>(
                    &keys,
                    padded,
                    &mut logits,
                    padded,
                    TileMode::Store,
                );
                let normalizers = &mut normalizers[head * t..][block.clone()];
                for (row, normalizer) in logits.chunks_exact_mut(padded).zip(normalizers.iter_mut()) {
                    *normalizer = exponentials::<L>(row, t, scale);
                }
                let out = &mut out[block.start * d + head * dh..];
                Left { values: &logits, row: padded, step: 1, n_rows, n_steps: t }.multiply::<L>(
                    &values,
                    dh,
                    out,
                    d,
                    TileMode::Store,
                );
                for (row, normalizer) in normalizers.iter().enumerate() {
                    let factor = L::splat(normalizer.inv_sum);
                    let out = &mut out[row * d..][..dh];
                    for_registers!(L, dh, |at, n| {
                        let value = read_some::<L, _>(out, at, n, 0.0);
                        write_some::<L, _>(out, at, n, L::mul(value, factor));
                    });
                }
            }
        }
    }
}

/// Turns the first `t` logits, before their scale, into `exp(scale * (logit - greatest))`. What lies behind them is
/// overwritten.
#[inline(always)]
fn exponentials<L: Lanes>(row: &mut [f32], t: usize, scale: f32) -> Normalizer {
    row[t..].fill(f32::MIN);
    let mut greatest = L::splat(f32::MIN);
    for logits in row.chunks_exact(L::N) {
        greatest = L::max(greatest, read::<L>(logits));
    }
    let greatest = max_lane::<L>(greatest);
    let mut sum = L::zero();
    for logits in row.chunks_exact_mut(L::N) {
        let distance = L::sub(read::<L>(logits), L::splat(greatest));
        let power = exp::<L>(L::mul(distance, L::splat(scale)));
        write::<L>(logits, power);
        sum = L::add(sum, power);
    }
    Normalizer { greatest, inv_sum: 1.0 / sum_lanes::<L>(sum) }
}
