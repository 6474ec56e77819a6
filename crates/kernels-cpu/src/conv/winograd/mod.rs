//! Convolution by kernels of 3x3 with four times fewer products: Winograd's F(4x4, 3x3) (Lavin & Gray 2015,
//! arXiv:1509.09308).
//!
//! Inputs are cut into overlapping tiles of 6x6 pixels. Transformed, a tile has 36 points, and so has a kernel; at each
//! point, outputs are a plain product of matrices, whose rows are images of tiles and whose inner dimension are the
//! channels. The products are transformed to tiles of 4x4 outputs.

mod algebra;
mod gradient;
pub(super) mod pairs;
mod passes;
mod points;
mod sums;
#[cfg(test)]
mod tests;
mod tiles;
mod weight;
mod wide;

pub(super) use self::gradient::gradient;
use self::{
    points::{Channels, N_POINTS, Points, TILE, TileTarget, transform_input, transform_output},
    tiles::{Tile, Tiling},
    weight::Weights,
};
use crate::{
    ConvGeometry, Precision,
    layout::Layout,
    memory::split,
    scratch::with_scratch,
    simd::{Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
    values::{Summed, Values},
};

/// Rows of a product, if a row of tiles has them: so many that the weights are read seldom enough.
const NARROW_ROWS: usize = 32;

/// Groups of points that the threads of a task share out.
const POINT_GROUPS: usize = 4;

/// Words that lie between points, which would meet in the same places of the cache otherwise: a few lines.
const GAP: usize = 48;

/// Values of transformed weights up to which each task reads all of them.
const MAX_NARROW_LEN: usize = N_POINTS * 128 * 128;

/// Channels from which on their products are added up in parts.
const MIN_HALVED: usize = 48;

/// Channels of such a part, at most.
const MAX_STEPS: usize = 64;

/// One convolution, ready to run.
#[derive(Clone, Copy)]
pub(super) struct Winograd<'a> {
    family: Family,
    tiling: Tiling,
    weights: Weights<'a>,
}

impl<'a> Winograd<'a> {
    /// A convolution by weights packed `[panel of outputs][tap][input channel][column]`.
    pub(super) fn forward(
        family: Family,
        geometry: ConvGeometry,
        from: Layout,
        to: Layout,
        packed: &'a [f32],
    ) -> Self {
        let weights = Weights { packed, n_in: from.c, panel: family.panel(), is_flipped: false };
        Self { family, tiling: Tiling::forward(TILE, geometry, from, to), weights }
    }

    /// The gradient of the input, by weights packed `[panel of inputs][tap][output channel][column]`.
    pub(super) fn backward(
        family: Family,
        geometry: ConvGeometry,
        from: Layout,
        to: Layout,
        packed: &'a [f32],
    ) -> Self {
        let weights = Weights { packed, n_in: from.c, panel: family.panel(), is_flipped: true };
        Self { family, tiling: Tiling::backward(TILE, geometry, from, to), weights }
    }

    /// The result in a buffer of its own; with the sums of its channels, if they are asked for.
    pub(super) fn multiply(&self, values: &Values, precision: Precision, is_summed: bool) -> Summed {
        if self.is_wide() {
            return wide::multiply(*self, values, precision, is_summed);
        }
        let (tasks, part_lens) = self.tasks();
        let weights = self.weights.transformed(self.family);
        let channels = is_summed.then_some(self.tiling.to.c);
        Values::build_summed(self.family, precision, &part_lens, tasks, channels, |_, task, out| {
            self.run(task, values, &weights, out);
        })
    }

    /// Adds the result to what is there.
    pub(super) fn add_to(&self, values: &Values, sum: &mut Values) {
        if self.is_wide() {
            return sum.add(&wide::multiply(*self, values, Precision::F32, false).values);
        }
        let (tasks, part_lens) = self.tasks();
        let weights = self.weights.transformed(self.family);
        sum.change(&part_lens, tasks, |_, task, out| self.run(task, values, &weights, out));
    }

    /// Whether the transformed weights are too many for every task to read them all.
    fn is_wide(&self) -> bool {
        self.weights.n_panels() * N_POINTS * self.weights.tap_len() > MAX_NARROW_LEN
    }

    /// Rows of tiles: (block, row), in the order of memory, and how many values each writes.
    fn tasks(&self) -> (Vec<(usize, usize)>, Vec<usize>) {
        let rows = |block| (0..self.tiling.n_rows()).map(move |y| (block, y));
        let tasks: Vec<(usize, usize)> = (0..self.tiling.to.n_blocks()).flat_map(rows).collect();
        let len = |&(block, y): &(usize, usize)| self.tiling.written(block, y..y + 1).range.len();
        let part_lens = tasks.iter().map(len).collect();
        (tasks, part_lens)
    }

    fn run(&self, (block, y): (usize, usize), values: &Values, weights: &[f32], out: &mut [f32]) {
        let Tiling { from, to, .. } = self.tiling;
        let n = to.n_in_block(block);
        let tiles_at_once = (NARROW_ROWS / n).clamp(1, self.tiling.n_columns());
        let points = Points::new(tiles_at_once * n, from.c);
        let products = Points::new(tiles_at_once * n, to.c);
        let lens = [points.len(), products.len()];
        let rows = self.tiling.read(block, y..y + 1);
        with_scratch(lens.iter().sum(), |scratch| {
            let [point_values, product_values] = split(scratch, lens);
            values.with_part(rows.range.clone(), |values| {
                self.family.run(RowOfTiles {
                    winograd: self,
                    block,
                    y,
                    inputs: Channels { values, first_y: rows.first_y, layout: from, range: 0..from.c },
                    weights,
                    tiles_at_once,
                    points: (points, point_values),
                    products: (products, product_values),
                    out,
                });
            });
        });
    }
}

/// One row of tiles of one block, all channels.
struct RowOfTiles<'a> {
    winograd: &'a Winograd<'a>,
    block: usize,
    y: usize,
    inputs: Channels<'a>,
    weights: &'a [f32],
    tiles_at_once: usize,
    points: (Points, &'a mut [f32]),
    products: (Points, &'a mut [f32]),
    out: &'a mut [f32],
}

impl Kernel for RowOfTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Winograd { tiling: tiling @ Tiling { to, padding, .. }, weights, .. } = *self.winograd;
        let n = to.n_in_block(self.block);
        let (points, point_values) = self.points;
        let (products, product_values) = self.products;
        let mut target = TileTarget {
            values: self.out,
            first_y: self.y * TILE,
            size: (to.h, to.w, n),
            channels: (to.c, 0),
        };
        for first in (0..tiling.n_columns()).step_by(self.tiles_at_once) {
            let end = tiling.n_columns().min(first + self.tiles_at_once);
            for x in first..end {
                let tile = Tile { block: self.block, y: self.y, x };
                transform_input::<L>(&self.inputs, tile, padding, points, (x - first) * n, point_values);
            }
            for (point, out) in product_values.chunks_exact_mut(products.point_len).enumerate() {
                let points = (points, &*point_values);
                multiply_point::<L>(point, points, (weights, self.weights), (end - first) * n, out, to.c);
            }
            for x in first..end {
                let tile = Tile { block: self.block, y: self.y, x };
                let row = (x - first) * n;
                transform_output::<L>(products, row, product_values, to.c, tile, &mut target);
            }
        }
    }
}

/// Channels whose products are added up before they are added to the sum of those before them.
///
/// A sum's error grows with its length. Halves make up for what the transforms make of it.
fn steps(n_in: usize) -> usize {
    match n_in {
        ..MIN_HALVED => n_in,
        _ => n_in.div_ceil(2).min(MAX_STEPS),
    }
}

/// At one point, the product of `n_rows` rows by transformed panels, which together have `n_columns` columns.
#[inline(always)]
fn multiply_point<L: Lanes>(
    point: usize,
    (points, point_values): (Points, &[f32]),
    (weights, panels): (Weights<'_>, &[f32]),
    n_rows: usize,
    out: &mut [f32],
    n_columns: usize,
) {
    let steps = steps(weights.n_in);
    for (panel_idx, panel) in panels.chunks_exact(weights.panel_len()).enumerate() {
        let first_column = panel_idx * weights.panel;
        for first in (0..weights.n_in).step_by(steps) {
            let segments =
                [Segment { a: first, b: first * weights.panel, n_steps: steps.min(weights.n_in - first) }];
            let operands = Operands {
                a: &point_values[point * points.point_len..],
                a_row: points.row_len,
                a_step: 1,
                b: &panel[point * weights.point_len()..],
                b_step: weights.panel,
                segments: &segments,
            };
            let width = weights.panel.min(n_columns - first_column);
            let mode = if first == 0 { TileMode::Store } else { TileMode::Add };
            multiply_rows::<L, _, _>(operands, n_rows, &mut out[first_column..], n_columns, width, mode);
        }
    }
}
