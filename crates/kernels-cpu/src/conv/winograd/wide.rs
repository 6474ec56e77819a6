//! Layers with so many channels that no task should read all weights: the inputs of many tiles are transformed first, and
//! a task then does some of the output channels of all of them.

use rayon::prelude::*;

use super::{
    Winograd, multiply_points,
    tiles::{Channels, Points, Target, Tile, n_tiles, tiles_of, transform_input, transform_output},
};
use crate::{
    Precision,
    layout::{Layout, PixelRows},
    memory::{build, split_mut},
    scratch::with_scratch,
    simd::{Kernel, Lanes},
    values::{Summed, Values},
};

/// Panels of output channels of a task.
const TASK_PANELS: usize = 2;

/// Values of transformed inputs that are kept at a time, if a block has not more: they stay in the last-level cache.
const MAX_POINTS_LEN: usize = 6 << 20;

/// Rows of a product.
const N_ROWS: usize = 64;

/// The result in a buffer of its own; with the sums of its channels, if they are asked for.
pub(super) fn multiply(
    winograd: Winograd<'_>,
    values: &[f32],
    precision: Precision,
    is_summed: bool,
) -> Summed {
    let to = winograd.to;
    let block_len = Points::new(n_tiles(to.h) * n_tiles(to.w) * to.n_in_block(0), winograd.from.c).len();
    let n_at_once = (MAX_POINTS_LEN / block_len).clamp(1, to.n_blocks());
    let mut strips: Vec<Vec<Vec<f32>>> = Vec::new();
    for first in (0..to.n_blocks()).step_by(n_at_once) {
        let blocks = first..to.n_blocks().min(first + n_at_once);
        let tiles = Rows::new(to, tiles_of(to, blocks.clone()));
        let points = transform_inputs(winograd, &tiles, values);
        strips.push(multiply_strips(winograd, &tiles, blocks.start, &points));
    }
    // Strips of channels side by side.
    let width = TASK_PANELS * winograd.weights.panel;
    let (tasks, lens) = to.tasks();
    let channels = is_summed.then_some(to.c);
    Values::build_summed(winograd.family, precision, &lens, tasks, channels, |_, task, out| {
        let PixelRows { block, y } = task;
        let strips = &strips[block / n_at_once];
        let first_row = (to.block_start(block) - to.block_start(block / n_at_once * n_at_once)) / to.c
            + y.start * to.w * to.n_in_block(block);
        for (row, out) in out.chunks_exact_mut(to.c).enumerate() {
            for (strip, out) in strips.iter().zip(out.chunks_mut(width)) {
                out.copy_from_slice(&strip[(first_row + row) * out.len()..][..out.len()]);
            }
        }
    })
}

/// Tiles, and which rows of the points they are.
struct Rows {
    tiles: Vec<Tile>,
    /// The first row of each tile, and the end of the last.
    starts: Vec<usize>,
}

impl Rows {
    fn new(layout: Layout, tiles: Vec<Tile>) -> Self {
        let mut starts = vec![0];
        for tile in &tiles {
            starts.push(starts[starts.len() - 1] + layout.n_in_block(tile.block));
        }
        Self { tiles, starts }
    }

    /// Ranges of tiles with about [`N_ROWS`] rows each.
    fn chunks(&self) -> Vec<std::ops::Range<usize>> {
        let mut chunks = Vec::new();
        let mut first = 0;
        for end in 1..=self.tiles.len() {
            if self.starts[end] - self.starts[first] >= N_ROWS || end == self.tiles.len() {
                chunks.push(first..end);
                first = end;
            }
        }
        chunks
    }
}

/// The points of each chunk of tiles.
fn transform_inputs(
    winograd: Winograd<'_>,
    rows: &Rows,
    values: &[f32],
) -> Vec<(std::ops::Range<usize>, Points, Vec<f32>)> {
    let chunks = rows.chunks();
    let points: Vec<Points> = chunks
        .iter()
        .map(|chunk| Points::new(rows.starts[chunk.end] - rows.starts[chunk.start], winograd.from.c))
        .collect();
    chunks
        .into_par_iter()
        .zip(points)
        .map(|(chunk, points)| {
            let values = build(&[points.len()], |_, out| {
                let chunk = chunk.clone();
                winograd.family.run(TransformInputs { winograd, rows, chunk, values, points, out });
            });
            (chunk, points, values)
        })
        .collect()
}

struct TransformInputs<'a> {
    winograd: Winograd<'a>,
    rows: &'a Rows,
    chunk: std::ops::Range<usize>,
    values: &'a [f32],
    points: Points,
    out: &'a mut [f32],
}

impl Kernel for TransformInputs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Winograd { from, padding, .. } = self.winograd;
        let first = self.rows.starts[self.chunk.start];
        for tile in self.chunk {
            let row = self.rows.starts[tile] - first;
            let values = from.block(self.values, self.rows.tiles[tile].block);
            let inputs = Channels { values, first_y: 0, layout: from, range: 0..from.c };
            transform_input::<L>(&inputs, self.rows.tiles[tile], padding, self.points, row, self.out);
        }
    }
}

/// For each strip of output channels: `[position][image][channel of the strip]` of all blocks of the tiles.
fn multiply_strips(
    winograd: Winograd<'_>,
    rows: &Rows,
    first_block: usize,
    points: &[(std::ops::Range<usize>, Points, Vec<f32>)],
) -> Vec<Vec<f32>> {
    let Winograd { to, weights, family, .. } = winograd;
    let n_panels = weights.n_panels();
    let strips: Vec<std::ops::Range<usize>> =
        (0..n_panels).step_by(TASK_PANELS).map(|first| first..n_panels.min(first + TASK_PANELS)).collect();
    let last_block = rows.tiles[rows.tiles.len() - 1].block;
    let n_pixels = (first_block..=last_block).map(|block| to.block_len(block) / to.c).sum::<usize>();
    let strip = |panels: std::ops::Range<usize>| {
        let n_columns = (panels.len() * weights.panel).min(to.c - panels.start * weights.panel);
        build(&[n_pixels * n_columns], |_, out| {
            let n_rows =
                points.iter().map(|(_, points, _)| points.point_len).max().unwrap_or(0) / winograd.from.c;
            let products = Points::new(n_rows, n_columns);
            let lens = [panels.len() * weights.panel_len(), products.len()];
            with_scratch(lens.iter().sum(), |scratch| {
                let parts: [&mut [f32]; 2] =
                    split_mut(scratch, &lens).try_into().expect("two parts were asked for");
                let [transformed, product_values] = parts;
                family.run(Strip {
                    winograd,
                    rows,
                    first_block,
                    points,
                    panels: panels.clone(),
                    n_columns,
                    transformed,
                    products: (products, product_values),
                    out,
                });
            });
        })
    };
    strips.into_par_iter().map(strip).collect()
}

/// Some panels of output channels of all tiles.
struct Strip<'a> {
    winograd: Winograd<'a>,
    rows: &'a Rows,
    first_block: usize,
    points: &'a [(std::ops::Range<usize>, Points, Vec<f32>)],
    panels: std::ops::Range<usize>,
    n_columns: usize,
    transformed: &'a mut [f32],
    products: (Points, &'a mut [f32]),
    out: &'a mut [f32],
}

impl Kernel for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Winograd { to, weights, .. } = self.winograd;
        for (panel_idx, out) in
            self.panels.clone().zip(self.transformed.chunks_exact_mut(weights.panel_len()))
        {
            weights.transform_panel::<L>(panel_idx, out);
        }
        let (products, product_values) = self.products;
        for (chunk, points, point_values) in self.points {
            let first_row = self.rows.starts[chunk.start];
            let n_rows = self.rows.starts[chunk.end] - first_row;
            multiply_points::<L>(
                (*points, point_values),
                (weights, self.transformed),
                n_rows,
                (products, product_values),
                self.n_columns,
            );
            for tile_idx in chunk.clone() {
                let tile = self.rows.tiles[tile_idx];
                let start =
                    (to.block_start(tile.block) - to.block_start(self.first_block)) / to.c * self.n_columns;
                let mut target = Target {
                    values: &mut self.out[start..],
                    first_y: 0,
                    size: (to.h, to.w, to.n_in_block(tile.block)),
                    channels: (self.n_columns, 0),
                };
                let row = self.rows.starts[tile_idx] - first_row;
                transform_output::<L>(products, row, product_values, self.n_columns, tile, &mut target);
            }
        }
    }
}
