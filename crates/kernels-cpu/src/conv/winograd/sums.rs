//! The gradient of weights, as both forms compute it: sums over slices of the tiles, for blocks of channels.

use std::{marker::PhantomData, ops::Range};

use rayon::prelude::*;

use super::{
    POINT_GROUPS,
    tiles::{Tile, Tiling},
};
use crate::{
    cut::{MANY_TASKS, of_at_most},
    matrix::{Blocks, Limits},
    simd::{Element, Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
};

/// Channels of a block on either side, at most: a multiple of what a panel is wide.
const BLOCK_CHANNELS: usize = 128;

/// Rows of the weights that are added up at once.
const ROWS_AT_ONCE: usize = 32;

/// `(9, I, O)`: the sum of what `add_up(tiles, inputs, outputs)` gives for each slice of tiles and block of channels,
/// `(9, inputs, outputs)` each. A slice has at least `n_rows` images of tiles.
pub(super) fn gradient(
    tiling: Tiling,
    n_rows: usize,
    add_up: impl Fn(&[Tile], Range<usize>, Range<usize>) -> Vec<f32> + Sync,
) -> Vec<f32> {
    let Tiling { from, to, .. } = tiling;
    let tiles = tiling.tiles(0..to.n_blocks());
    let n_images = tiling.n_rows() * tiling.n_columns() * to.n;
    let (blocks, n_slices) = cut((from.c, to.c), n_images, n_rows);
    let of_slice = |slice, inputs, outputs| {
        let tiles = &tiles[tiles.len() * slice / n_slices..tiles.len() * (slice + 1) / n_slices];
        (add_up(tiles, inputs, outputs), ())
    };
    blocks.sum_slices(n_slices, ROWS_AT_ONCE, of_slice).0
}

/// Blocks of channels, and how many slices `n_images` images of tiles are cut into.
fn cut((n_in, n_out): (usize, usize), n_images: usize, n_rows: usize) -> (Blocks, usize) {
    // A task has work for several threads, so that there may be fewer of them: adding up more slices than need be would cost
    // more than a few percent of the work.
    let limits = Limits { min_tasks: MANY_TASKS / POINT_GROUPS, slice_steps: 512, min_slice_steps: n_rows };
    let channels = |n: usize| of_at_most(n, BLOCK_CHANNELS, BLOCK_CHANNELS);
    Blocks::cut(9, (n_in, n_out), n_images, &limits, [(channels(n_in), channels(n_out))])
}

/// Transformed tiles of inputs or of gradients of outputs, `[point][step][channel]`, a word each.
#[derive(Clone, Copy)]
pub(super) struct Steps<'a> {
    pub(super) words: &'a [f32],
    /// From one point to the next.
    pub(super) point_len: usize,
    pub(super) n_channels: usize,
}

/// At each point, `n_steps` steps of `x` (outer product) `gradient`, whose elements are `E`: `[point][input][output]`, with
/// `sum_len` from one point to the next; overwritten or added to, as `mode` says.
pub(super) fn add_products<E: Element>(
    family: Family,
    x: Steps<'_>,
    gradient: Steps<'_>,
    n_steps: usize,
    (sums, sum_len): (&mut [f32], usize),
    mode: TileMode<'_>,
) {
    let n_points = sums.len() / sum_len;
    let n_at_once = n_points.div_ceil(POINT_GROUPS);
    sums.par_chunks_mut(n_at_once * sum_len).enumerate().for_each(|(group, sums)| {
        let first_point = group * n_at_once;
        family.run(AddProducts::<E> {
            element: PhantomData,
            first_point,
            x,
            gradient,
            n_steps,
            sums,
            sum_len,
            mode,
        });
    });
}

struct AddProducts<'a, E> {
    element: PhantomData<E>,
    first_point: usize,
    x: Steps<'a>,
    gradient: Steps<'a>,
    n_steps: usize,
    sums: &'a mut [f32],
    sum_len: usize,
    mode: TileMode<'a>,
}

impl<E: Element> Kernel for AddProducts<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { x, gradient, .. } = self;
        let segments = [Segment { a: 0, b: 0, n_steps: self.n_steps }];
        for (point, sums) in self.sums.chunks_exact_mut(self.sum_len).enumerate() {
            let point = self.first_point + point;
            for first in (0..gradient.n_channels).step_by(2 * L::N) {
                let operands = Operands {
                    a: E::of_words(&x.words[point * x.point_len..]),
                    a_row: E::PER_STEP,
                    a_step: E::PER_STEP * x.n_channels,
                    b: E::of_words(&gradient.words[point * gradient.point_len + first..]),
                    b_step: E::PER_STEP * gradient.n_channels,
                    segments: &segments,
                };
                let n_columns = (2 * L::N).min(gradient.n_channels - first);
                let out = &mut sums[first..];
                multiply_rows::<L, _, _>(
                    operands,
                    x.n_channels,
                    out,
                    gradient.n_channels,
                    n_columns,
                    self.mode,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::MAX_PARTIAL_LEN;

    /// Side and channels, at a batch of 64.
    const LAYERS: [(usize, usize); 8] =
        [(32, 64), (16, 128), (8, 256), (4, 512), (56, 64), (28, 128), (14, 256), (7, 512)];

    #[test]
    fn every_layer_has_work_for_64_threads_in_partial_sums_of_16_mib_at_most() {
        for (px, c) in LAYERS {
            for tile_px in [2, 4] {
                let n_images = px.div_ceil(tile_px).pow(2) * 64;
                let (blocks, n_slices) = cut((c, c), n_images, 64);
                assert!(
                    blocks.len() * n_slices * POINT_GROUPS >= 64,
                    "{c} channels of {px} px have {n_slices} slices"
                );
                assert!(n_slices * 9 * c * c <= MAX_PARTIAL_LEN, "{c} channels of {px} px");
            }
        }
    }
}
