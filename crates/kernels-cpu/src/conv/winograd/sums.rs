//! The gradient of weights, as both forms compute it: sums over slices of the tiles, for strips of channels.

use std::{marker::PhantomData, ops::Range};

use rayon::prelude::*;

use super::tiles::{Tile, Tiling};
use crate::{
    memory::build,
    simd::{Element, Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
};

/// Channels of a strip, at most: a multiple of what a panel is wide.
const STRIP: usize = 128;

/// Tasks to cut the work into at least, if there are tiles enough.
const MIN_TASKS: usize = 16;

/// Tasks to cut the work into at most. A task has work for [`N_GROUPS`] threads.
const MAX_TASKS: usize = 64;

/// Images of tiles in a slice, if there are tiles for more than [`MIN_TASKS`] tasks: with fewer, adding up the slices costs
/// more than a few percent of the work.
const SLICE_ROWS: usize = 512;

/// Values of partial sums, at most, if there are slices at all.
const MAX_PARTIAL_LEN: usize = 4 << 20;

/// Groups of points that a task's threads share out.
const N_GROUPS: usize = 4;

/// `(9, I, O)`: the sum of what `add_up(tiles, inputs, outputs)` gives for each slice of tiles and strips of channels,
/// `(9, inputs, outputs)` each. A slice has at least `n_rows` images of tiles.
pub(super) fn gradient(
    tiling: Tiling,
    n_rows: usize,
    add_up: impl Fn(&[Tile], Range<usize>, Range<usize>) -> Vec<f32> + Sync,
) -> Vec<f32> {
    let Tiling { from, to, .. } = tiling;
    let tiles = tiling.tiles(0..to.n_blocks());
    let (ins, outs) = (strips(from.c), strips(to.c));
    let n_strips = ins.len() * outs.len();
    let n_images = tiling.n_rows() * tiling.n_columns() * to.n;
    let n_slices = n_slices(n_strips, n_images, 9 * from.c * to.c).min(n_images / n_rows).max(1);
    let partial: Vec<Vec<f32>> = (0..n_slices * n_strips)
        .into_par_iter()
        .map(|task_idx| {
            let (slice, strip) = (task_idx / n_strips, task_idx % n_strips);
            let tiles = &tiles[tiles.len() * slice / n_slices..tiles.len() * (slice + 1) / n_slices];
            add_up(tiles, ins[strip / outs.len()].clone(), outs[strip % outs.len()].clone())
        })
        .collect();
    add_slices(&partial, &ins, &outs, to.c)
}

fn strips(len: usize) -> Vec<Range<usize>> {
    (0..len).step_by(STRIP).map(|start| start..len.min(start + STRIP)).collect()
}

fn n_slices(n_strips: usize, n_images: usize, partial_len: usize) -> usize {
    let (least, most) = (MIN_TASKS.div_ceil(n_strips), MAX_TASKS.div_ceil(n_strips));
    (n_images / SLICE_ROWS).clamp(least, most).min(MAX_PARTIAL_LEN / partial_len)
}

/// Slices add up in their order.
fn add_slices(partial: &[Vec<f32>], ins: &[Range<usize>], outs: &[Range<usize>], n_out: usize) -> Vec<f32> {
    // Some rows of a strip of inputs of a tap a part.
    const PART_ROWS: usize = 32;
    let mut parts = Vec::new();
    for tap in 0..9 {
        for (strip, inputs) in ins.iter().enumerate() {
            for first in (0..inputs.len()).step_by(PART_ROWS) {
                parts.push((tap, strip, first..inputs.len().min(first + PART_ROWS)));
            }
        }
    }
    let lens: Vec<usize> = parts.iter().map(|(_, _, rows)| rows.len() * n_out).collect();
    build(&lens, |part, sum| {
        let (tap, in_idx, ref rows) = parts[part];
        for slice in partial.chunks_exact(ins.len() * outs.len()) {
            for (out_idx, outputs) in outs.iter().enumerate() {
                let values = &slice[in_idx * outs.len() + out_idx];
                let start = (tap * ins[in_idx].len() + rows.start) * outputs.len();
                let values = values[start..].chunks_exact(outputs.len());
                for (sum, values) in sum.chunks_exact_mut(n_out).zip(values) {
                    sum[outputs.clone()].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                }
            }
        }
    })
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
    let n_at_once = n_points.div_ceil(N_GROUPS);
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

    /// Side and channels, at a batch of 64.
    const LAYERS: [(usize, usize); 8] =
        [(32, 64), (16, 128), (8, 256), (4, 512), (56, 64), (28, 128), (14, 256), (7, 512)];

    #[test]
    fn every_layer_has_work_for_64_threads_in_partial_sums_of_16_mib_at_most() {
        for (px, c) in LAYERS {
            for tile_px in [2, 4] {
                let n_images = px.div_ceil(tile_px).pow(2) * 64;
                let (n_strips, partial_len) = (strips(c).len().pow(2), 9 * c * c);
                let n_slices = n_slices(n_strips, n_images, partial_len).max(1);
                assert!(
                    n_strips * n_slices * N_GROUPS >= 64,
                    "{c} channels of {px} px have {n_slices} slices"
                );
                assert!(n_slices * partial_len <= MAX_PARTIAL_LEN, "{c} channels of {px} px");
            }
        }
    }
}
