//! The attended values of one head of an image.

use std::marker::PhantomData;

use bytemuck::Pod;

use super::{heads::HeadOutput, sizes::Sizes};
use crate::{
    panels::{Left, RowsOfWords},
    simd::{Element, Kernel, Lanes, TileMode, exp, max_lane, read, sum_lanes, write_some},
};

/// One head of an image, with products of `E`.
pub(super) struct HeadForward<'a, 'b, E, O> {
    pub(super) sizes: Sizes,
    /// Queries, keys and values, `(T, dh)`.
    pub(super) operands: [&'a [f32]; 3],
    /// Of [`rooms`](Self::rooms).
    pub(super) rooms: [&'a mut [f32]; 4],
    /// `(T, dh)`.
    pub(super) output: &'a mut HeadOutput<'b, O>,
    /// `T`.
    pub(super) normalizers: &'a mut [Normalizer],
    pub(super) products: PhantomData<E>,
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

impl<E: Element, O> HeadForward<'_, '_, E, O> {
    /// Words of the rooms: keys as columns, values as rows, and for a block of queries logits and output.
    pub(super) fn rooms(sizes: Sizes, panel: usize) -> [usize; 4] {
        let Sizes { t, dh, .. } = sizes;
        let n = sizes.max_block();
        [
            RowsOfWords::<E>::room_as_columns(t, dh, panel),
            RowsOfWords::<E>::room(t, dh, panel),
            n * sizes.padded_keys(panel),
            n * sizes.padded_features(panel),
        ]
    }
}

impl<E: Element + Pod, O: Element> Kernel for HeadForward<'_, '_, E, O> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { sizes, operands, rooms, output, normalizers, .. } = self;
        let Sizes { t, dh, .. } = sizes;
        let (padded, padded_features) = (sizes.padded_keys(2 * L::N), sizes.padded_features(2 * L::N));
        let scale = 1.0 / (dh as f32).sqrt();
        let [queries, keys, values] = operands;
        let queries = RowsOfWords::<E>::new(queries, dh);
        let [key_columns, value_rows, logits, attended] = rooms;
        RowsOfWords::<E>::new(keys, dh).pack_as_columns::<L>(key_columns);
        RowsOfWords::<E>::new(values, dh).pack::<L>(value_rows);
        for block in sizes.query_blocks() {
            let n_rows = block.len();
            let queries = queries.some(block.clone()).left();
            queries.multiply::<L>(key_columns, padded, logits, padded, TileMode::Store);
            let normalizers = &mut normalizers[block.clone()];
            for (row, normalizer) in logits.chunks_exact_mut(padded).zip(normalizers.iter_mut()) {
                *normalizer = exponentials::<L, E>(row, t, scale);
            }
            let powers = Left {
                values: E::of_words(logits),
                row: padded * E::PER_STEP,
                step: E::PER_STEP,
                n_rows,
                n_steps: t.div_ceil(E::PER_STEP),
            };
            powers.multiply::<L>(value_rows, padded_features, attended, padded_features, TileMode::Store);
            let rows = attended.chunks_exact(padded_features).zip(normalizers.iter());
            for (row, normalizer) in rows {
                output.push_row::<L>(row, L::splat(normalizer.inv_sum));
            }
        }
    }
}

/// Turns the first `t` logits, before their scale, into `exp(scale * (logit - greatest))` of the products' elements, from the
/// start of the row's memory on. What lies behind them is overwritten.
#[inline(always)]
fn exponentials<L: Lanes, E: Element + Pod>(row: &mut [f32], t: usize, scale: f32) -> Normalizer {
    row[t..].fill(f32::MIN);
    let mut greatest = L::splat(f32::MIN);
    for logits in row.chunks_exact(L::N) {
        greatest = L::max(greatest, read::<L>(logits));
    }
    let greatest = max_lane::<L>(greatest);
    let mut sum = L::zero();
    for at in (0..row.len()).step_by(L::N) {
        let distance = L::sub(read::<L>(&row[at..]), L::splat(greatest));
        let power = exp::<L>(L::mul(distance, L::splat(scale)));
        // An element is at most as long as a logit: none is overwritten before it is read.
        write_some::<L, E>(bytemuck::cast_slice_mut(row), at, L::N, power);
        sum = L::add(sum, power);
    }
    Normalizer { greatest, inv_sum: 1.0 / sum_lanes::<L>(sum) }
}
