//! Layers with so many channels that no task should read all weights: the inputs of many tiles are transformed first, and
//! a task then does some of the output channels of all of them.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    POINT_GROUPS, Winograd,
    algebra::Input,
    multiply_point,
    points::{Channels, N_POINTS, Points, TileTarget, transform_output, transform_rows},
    tiles::{Batch, Tile, Tiling, batches},
    weight::Weights,
};
use crate::{
    Precision,
    cut::of_at_most,
    layout::{Layout, PixelRows},
    memory::{build, split},
    scratch::with_scratch,
    simd::{Kernel, Lanes},
    values::{Summed, Values},
};

/// Panels of output channels of a task.
const STRIP_PANELS: usize = 2;

/// Values of transformed inputs that are kept at a time, if a block has not more: they stay in the last-level cache.
const MAX_POINTS_LEN: usize = 6 << 20;

/// Rows of a product, at most: images of tiles.
const WIDE_ROWS: usize = 64;

/// The result in a buffer of its own; with the sums of its channels, if they are asked for.
pub(super) fn multiply(
    winograd: Winograd<'_>,
    values: &Values,
    precision: Precision,
    is_summed: bool,
) -> Summed {
    let Tiling { from, to, .. } = winograd.tiling;
    let n_tiles = winograd.tiling.n_rows() * winograd.tiling.n_columns();
    let block_len = Points::new(n_tiles * to.n_in_block(0), from.c).len();
    let n_at_once = (MAX_POINTS_LEN / block_len).clamp(1, to.n_blocks());
    let mut computed: Vec<Vec<Vec<f32>>> = Vec::new();
    for first in (0..to.n_blocks()).step_by(n_at_once) {
        let blocks = first..to.n_blocks().min(first + n_at_once);
        let tiles = winograd.tiling.tiles(blocks.clone());
        let inputs = transform_inputs(winograd, &tiles, values);
        computed.push(multiply_strips(winograd, blocks, &inputs));
    }
    // Strips of channels side by side.
    let width = STRIP_PANELS * winograd.weights.panel;
    let (tasks, lens) = to.tasks();
    let channels = is_summed.then_some(to.c);
    Values::build_summed(winograd.family, precision, &lens, tasks, channels, |_, task, out| {
        let PixelRows { block, y } = task;
        let strips = &computed[block / n_at_once];
        let first_row = (to.block_start(block) - to.block_start(block / n_at_once * n_at_once)) / to.c
            + y.start * to.w * to.n_in_block(block);
        for (row, out) in out.chunks_exact_mut(to.c).enumerate() {
            for (strip, out) in strips.iter().zip(out.chunks_mut(width)) {
                out.copy_from_slice(&strip[(first_row + row) * out.len()..][..out.len()]);
            }
        }
    })
}

/// The inputs of some tiles, transformed.
struct Transformed<'a> {
    batch: Batch<'a>,
    points: Points,
    values: Vec<f32>,
}

fn transform_inputs<'a>(winograd: Winograd<'_>, tiles: &'a [Tile], values: &Values) -> Vec<Transformed<'a>> {
    let Winograd { family, tiling, .. } = winograd;
    let from = tiling.from;
    batches(tiles, from, WIDE_ROWS, 1)
        .into_par_iter()
        .map(|batch| {
            let points = Points::new(batch.n_rows, from.c);
            let transformed = build(&[points.len()], |_, out| {
                let mut row = 0;
                for tiles in batch.rows() {
                    let Tile { block, y, .. } = tiles[0];
                    let read = tiling.read(block, y..y + 1);
                    values.with_part(read.range, |values| {
                        let from = Channels { values, first_y: read.first_y, layout: from, range: 0..from.c };
                        let to = (points, &mut *out);
                        transform_rows::<Input, 6>(family, from, tiles, tiling.padding, row, to);
                    });
                    row += tiles.len() * from.n_in_block(block);
                }
            });
            Transformed { batch, points, values: transformed }
        })
        .collect()
}

/// For each strip of output channels: `[position][image][channel of the strip]` of all blocks.
fn multiply_strips(
    winograd: Winograd<'_>,
    blocks: Range<usize>,
    inputs: &[Transformed<'_>],
) -> Vec<Vec<f32>> {
    let Winograd { tiling: Tiling { to, .. }, weights, family } = winograd;
    let n_panels = weights.n_panels();
    let panels_of_strips = of_at_most(n_panels, STRIP_PANELS, STRIP_PANELS);
    let n_pixels = blocks.clone().map(|block| to.block_len(block) / to.c).sum::<usize>();
    let n_rows = inputs.iter().map(|input| input.batch.n_rows).max().unwrap_or(0);
    let strip = |panels: Range<usize>| {
        let n_columns = (panels.len() * weights.panel).min(to.c - panels.start * weights.panel);
        build(&[n_pixels * n_columns], |_, out| {
            let products = Points::new(n_rows, n_columns);
            let lens = [panels.len() * weights.panel_len(), products.len()];
            with_scratch(lens.iter().sum(), |scratch| {
                let [transformed, product_values] = split(scratch, lens);
                family.run(TransformPanels { weights, panels: panels.clone(), out: &mut *transformed });
                for input in inputs {
                    multiply_batch(winograd, input, transformed, (products, &mut *product_values), n_columns);
                    let first_block = blocks.start;
                    let products = (products, &*product_values);
                    let batch = input.batch;
                    family.run(TransformOutputs {
                        to,
                        batch,
                        products,
                        first_block,
                        n_columns,
                        out: &mut *out,
                    });
                }
            });
        })
    };
    panels_of_strips.into_par_iter().map(strip).collect()
}

struct TransformPanels<'a> {
    weights: Weights<'a>,
    panels: Range<usize>,
    out: &'a mut [f32],
}

impl Kernel for TransformPanels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (panel_idx, out) in self.panels.zip(self.out.chunks_exact_mut(self.weights.panel_len())) {
            self.weights.transform_panel::<L>(panel_idx, out);
        }
    }
}

/// The products of some tiles by a strip's panels, some points a thread.
fn multiply_batch(
    winograd: Winograd<'_>,
    input: &Transformed<'_>,
    panels: &[f32],
    (products, values): (Points, &mut [f32]),
    n_columns: usize,
) {
    const N_AT_ONCE: usize = N_POINTS.div_ceil(POINT_GROUPS);
    values.par_chunks_mut(N_AT_ONCE * products.point_len).enumerate().for_each(|(group, values)| {
        winograd.family.run(MultiplyPoints {
            winograd,
            input,
            panels,
            first_point: group * N_AT_ONCE,
            products: (products, values),
            n_columns,
        });
    });
}

struct MultiplyPoints<'a> {
    winograd: Winograd<'a>,
    input: &'a Transformed<'a>,
    panels: &'a [f32],
    first_point: usize,
    products: (Points, &'a mut [f32]),
    n_columns: usize,
}

impl Kernel for MultiplyPoints<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { input, first_point, n_columns, .. } = self;
        let (products, values) = self.products;
        for (point, out) in values.chunks_exact_mut(products.point_len).enumerate() {
            let points = (input.points, input.values.as_slice());
            let weights = (self.winograd.weights, self.panels);
            multiply_point::<L>(first_point + point, points, weights, input.batch.n_rows, out, n_columns);
        }
    }
}

struct TransformOutputs<'a> {
    to: Layout,
    batch: Batch<'a>,
    products: (Points, &'a [f32]),
    first_block: usize,
    n_columns: usize,
    /// `[position][image][channel of the strip]` from the first block on.
    out: &'a mut [f32],
}

impl Kernel for TransformOutputs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { to, n_columns, .. } = self;
        let (products, values) = self.products;
        let mut row = 0;
        for &tile in self.batch.tiles {
            let n = to.n_in_block(tile.block);
            let start = (to.block_start(tile.block) - to.block_start(self.first_block)) / to.c * n_columns;
            let mut target = TileTarget {
                values: &mut self.out[start..],
                first_y: 0,
                size: (to.h, to.w, n),
                channels: (n_columns, 0),
            };
            transform_output::<L>(products, row, values, n_columns, tile, &mut target);
            row += n;
        }
    }
}
