//! The gradients of one head's queries, keys and values.

use std::marker::PhantomData;

use bytemuck::Pod;

use super::{forward::Normalizer, heads::HeadOutput, sizes::Sizes};
use crate::{
    panels::{Left, RowsOfWords},
    simd::{Element, Kernel, Lanes, TileMode, exp, read, sum_lanes, write, write_some},
};

/// One head of an image, with products of `E`.
pub(super) struct HeadBackward<'a, 'b, E, O> {
    pub(super) sizes: Sizes,
    /// Queries, keys, values and the gradient of the output, `(T, dh)`.
    pub(super) operands: [&'a [f32]; 4],
    /// Of [`rooms`](Self::rooms).
    pub(super) rooms: [&'a mut [f32]; 10],
    /// The gradients of queries, keys and values, `(T, dh)`.
    pub(super) output: &'a mut HeadOutput<'b, O>,
    /// `T`, of the forward pass.
    pub(super) normalizers: &'a [Normalizer],
    pub(super) products: PhantomData<E>,
}

impl<E: Element, O> HeadBackward<'_, '_, E, O> {
    /// Words of the rooms: keys and values as columns, keys as rows; for a block of queries, these and the output's gradients as
    /// rows, probabilities, their gradients, and the queries' gradients; and the gradients of keys and values.
    pub(super) fn rooms(sizes: Sizes, panel: usize) -> [usize; 10] {
        let Sizes { t, dh, .. } = sizes;
        let n = sizes.max_block();
        let columns = RowsOfWords::<E>::room_as_columns(t, dh, panel);
        let rows = RowsOfWords::<E>::room(t, dh, panel);
        let block = RowsOfWords::<E>::room(n, dh, panel);
        let square = n.next_multiple_of(E::PER_STEP) * sizes.padded_keys(panel);
        let padded = sizes.padded_features(panel);
        [columns, columns, rows, block, block, square, square, n * padded, t * padded, t * padded]
    }
}

impl<E: Element + Pod, O: Element> Kernel for HeadBackward<'_, '_, E, O> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { sizes, operands, rooms, output, normalizers, .. } = self;
        let Sizes { t, dh, .. } = sizes;
        let (padded, padded_features) = (sizes.padded_keys(2 * L::N), sizes.padded_features(2 * L::N));
        let scale = 1.0 / (dh as f32).sqrt();
        let [queries, keys, values, gradients] = operands.map(|words| RowsOfWords::<E>::new(words, dh));
        let [key_columns, value_columns, key_rows, query_rows, gradient_rows, p, by_p, by_q, by_k, by_v] =
            rooms;
        keys.pack_as_columns::<L>(key_columns);
        values.pack_as_columns::<L>(value_columns);
        keys.pack::<L>(key_rows);
        for block in sizes.query_blocks() {
            let n = block.len();
            let (queries, gradients) = (queries.some(block.clone()), gradients.some(block.clone()));
            queries.pack::<L>(query_rows);
            gradients.pack::<L>(gradient_rows);
            queries.left().multiply::<L>(key_columns, padded, p, padded, TileMode::Store);
            gradients.left().multiply::<L>(value_columns, padded, by_p, padded, TileMode::Store);
            let normalizers = normalizers[block.clone()].chunks(E::PER_STEP);
            let rows =
                p.chunks_exact_mut(E::PER_STEP * padded).zip(by_p.chunks_exact_mut(E::PER_STEP * padded));
            for ((p, by_p), normalizers) in rows.zip(normalizers) {
                softmax_backward::<L, E>(p, by_p, t, scale, normalizers);
            }
            let by_logit = Left {
                values: E::of_words(by_p),
                row: padded * E::PER_STEP,
                step: E::PER_STEP,
                n_rows: n,
                n_steps: t.div_ceil(E::PER_STEP),
            };
            by_logit.multiply::<L>(key_rows, padded_features, by_q, padded_features, TileMode::Store);
            push_rows::<L, _>(by_q, padded_features, n, output);
            // Pairs of the gradients of logits lie beside those of probabilities.
            let by_logit = if E::PER_STEP == 1 { &*by_p } else { &p[padded..] };
            let mode = if block.start == 0 { TileMode::Store } else { TileMode::Add };
            for (words, rows, sum) in
                [(by_logit, &*query_rows, &mut *by_k), (&*p, &*gradient_rows, &mut *by_v)]
            {
                let transposed = Left {
                    values: E::of_words(words),
                    row: E::PER_STEP,
                    step: E::PER_STEP * E::PER_STEP * padded,
                    n_rows: t,
                    n_steps: n.div_ceil(E::PER_STEP),
                };
                transposed.multiply::<L>(rows, padded_features, sum, padded_features, mode);
            }
        }
        push_rows::<L, _>(by_k, padded_features, t, output);
        push_rows::<L, _>(by_v, padded_features, t, output);
    }
}

/// The first `n` rows, which are `row` apart.
#[inline(always)]
fn push_rows<L: Lanes, O: Element>(from: &[f32], row: usize, n: usize, output: &mut HeadOutput<'_, O>) {
    for from in from.chunks_exact(row).take(n) {
        output.push_row::<L>(from, L::splat(1.0));
    }
}

/// From logits, before their scale, and the gradients of probabilities to probabilities and the gradients of logits, as the
/// products want them, for the queries of a step.
///
/// Single values take each other's place. Of pairs, the gradients of logits take the place of those of probabilities, rounded,
/// from the start of each row's memory on; and the two queries' values of a key go side by side: probabilities to the first
/// row of `logits`, the gradients of logits to the second. A second query that is missing counts as zeros.
#[inline(always)]
fn softmax_backward<L: Lanes, E: Element + Pod>(
    logits: &mut [f32],
    by_p: &mut [f32],
    t: usize,
    scale: f32,
    normalizers: &[Normalizer],
) {
    let padded = by_p.len() / E::PER_STEP;
    let factor = L::splat(scale);
    let mut means = [L::zero(); 2];
    let rows = logits.chunks_exact_mut(padded).zip(by_p.chunks_exact(padded));
    for ((normalizer, (logits, by_p)), mean) in normalizers.iter().zip(rows).zip(&mut means) {
        *mean = L::splat(probabilities::<L>(logits, by_p, t, scale, normalizer));
    }
    if E::PER_STEP == 1 {
        for (p, by_p) in logits.chunks_exact(L::N).zip(by_p.chunks_exact_mut(L::N)) {
            let by_logit = L::mul(L::mul(read::<L>(p), factor), L::sub(read::<L>(by_p), means[0]));
            write::<L>(by_p, by_logit);
        }
        return;
    }
    let (first, second) = logits.split_at_mut(padded);
    let (by_first, by_second) = by_p.split_at_mut(padded);
    let has_second = normalizers.len() == 2;
    for at in (0..padded).step_by(L::N) {
        let p = read::<L>(&first[at..]);
        let by_logit = L::mul(L::mul(p, factor), L::sub(read::<L>(&by_first[at..]), means[0]));
        write_some::<L, E>(bytemuck::cast_slice_mut(by_first), at, L::N, by_logit);
        let (mut other_p, mut by_other) = (L::zero(), L::zero());
        if has_second {
            other_p = read::<L>(&second[at..]);
            by_other = L::mul(L::mul(other_p, factor), L::sub(read::<L>(&by_second[at..]), means[1]));
            write_some::<L, E>(bytemuck::cast_slice_mut(by_second), at, L::N, by_other);
        }
        write::<L>(&mut first[at..], L::pair(p, other_p));
        write::<L>(&mut second[at..], L::pair(by_logit, by_other));
    }
}

/// Turns logits into probabilities, and gives the mean of their gradients. What lies behind the first `t` is overwritten.
#[inline(always)]
fn probabilities<L: Lanes>(
    logits: &mut [f32],
    by_p: &[f32],
    t: usize,
    scale: f32,
    normalizer: &Normalizer,
) -> f32 {
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
    sum_lanes::<L>(mean)
}
