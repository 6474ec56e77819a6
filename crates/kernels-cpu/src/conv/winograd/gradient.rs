//! The gradient of a convolution's weights.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    algebra::WeightGradient,
    passes::transform,
    strips::{add_slices, strips},
    tiles::{Channels, N_POINTS, Points, Tile, tiles_of, transform_gradient, transform_input},
};
use crate::{
    ConvGeometry,
    layout::{BLOCK, Layout},
    memory::split_mut,
    scratch::with_scratch,
    simd::{Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
};

/// Channels of the input and of the output that a task handles, at most.
const STRIP: usize = 128;

/// Tiles times images that are transformed at a time: the inner dimension of the products.
const N_ROWS: usize = 64;

/// Tasks to cut the work into, if there are tiles enough.
const N_TASKS: usize = 16;

/// `(3, 3, I, O)`: for each tap, the sum over images and positions of `x` (outer product) `gradient`.
pub(in super::super) fn gradient(
    family: Family,
    geometry: ConvGeometry,
    layout_in: Layout,
    x: &[f32],
    layout_out: Layout,
    gradient: &[f32],
) -> Vec<f32> {
    let tiles = tiles_of(layout_out, 0..layout_out.n_blocks());
    let (ins, outs) = (strips(layout_in.c, STRIP), strips(layout_out.c, STRIP));
    let n_strips = ins.len() * outs.len();
    let n_slices = N_TASKS.div_ceil(n_strips).min(tiles.len() * BLOCK / N_ROWS).max(1);
    let task = |task_idx: usize| {
        let (slice, strip) = (task_idx / n_strips, task_idx % n_strips);
        let (inputs, outputs) = (ins[strip / outs.len()].clone(), outs[strip % outs.len()].clone());
        let slice = tiles.len() * slice / n_slices..tiles.len() * (slice + 1) / n_slices;
        let points = Points::new(N_ROWS.max(BLOCK), inputs.len());
        let gradients = Points::new(N_ROWS.max(BLOCK), outputs.len());
        let sums = Points::new(inputs.len(), outputs.len());
        let lens = [points.len(), gradients.len(), sums.len()];
        with_scratch(lens.iter().sum(), |scratch| {
            let parts: [&mut [f32]; 3] =
                split_mut(scratch, &lens).try_into().expect("three parts were asked for");
            let [point_values, gradient_values, sum_values] = parts;
            family.run(Task {
                tiles: &tiles[slice],
                x: (x, layout_in, inputs),
                gradient: (gradient, layout_out, outputs),
                padding: geometry.padding,
                points: (points, point_values),
                gradients: (gradients, gradient_values),
                sums: (sums, sum_values),
            })
        })
    };
    let partial: Vec<Vec<f32>> = (0..n_slices * n_strips).into_par_iter().map(task).collect();

    add_slices(&partial, &ins, &outs, layout_out.c)
}

/// The sum over some tiles for some channels of both sides.
struct Task<'a> {
    tiles: &'a [Tile],
    /// All blocks, and the channels that count.
    x: (&'a [f32], Layout, Range<usize>),
    gradient: (&'a [f32], Layout, Range<usize>),
    padding: (usize, usize),
    points: (Points, &'a mut [f32]),
    gradients: (Points, &'a mut [f32]),
    sums: (Points, &'a mut [f32]),
}

impl Kernel for Task<'_> {
    /// `(9, inputs, outputs)`.
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Vec<f32> {
        let (points, point_values) = self.points;
        let (gradients, gradient_values) = self.gradients;
        let (sums, sum_values) = self.sums;
        let (n_in, n_out) = (self.x.2.len(), self.gradient.2.len());
        let mut mode = TileMode::Store;
        let mut rest = self.tiles;
        while !rest.is_empty() {
            let mut n_rows = 0;
            let mut n_tiles = 0;
            for &tile in rest {
                let n = self.x.1.n_in_block(tile.block);
                if n_tiles > 0 && n_rows + n > N_ROWS {
                    break;
                }
                let x = in_block(&self.x, tile.block);
                transform_input::<L>(&x, tile, self.padding, points, n_rows, point_values);
                let gradient = in_block(&self.gradient, tile.block);
                transform_gradient::<L>(&gradient, tile, gradients, n_rows, gradient_values);
                n_rows += n;
                n_tiles += 1;
            }
            rest = &rest[n_tiles..];
            let segments = [Segment { a: 0, b: 0, n_steps: n_rows }];
            for point in 0..N_POINTS {
                for first in (0..n_out).step_by(2 * L::N) {
                    let operands = Operands {
                        a: &point_values[point * points.point_len..],
                        a_row: 1,
                        a_step: points.row_len,
                        b: &gradient_values[point * gradients.point_len + first..],
                        b_step: gradients.row_len,
                        segments: &segments,
                    };
                    let n_columns = (2 * L::N).min(n_out - first);
                    let out = &mut sum_values[point * sums.point_len + first..];
                    multiply_rows::<L, _, _>(operands, n_in, out, sums.row_len, n_columns, mode);
                }
            }
            mode = TileMode::Add;
        }

        let len = n_in * n_out;
        let mut result = vec![0.0; 9 * len];
        let mut elements: [[&[f32]; 6]; 6] = [[&[]; 6]; 6];
        for (point, element) in elements.as_flattened_mut().iter_mut().enumerate() {
            *element = &sum_values[point * sums.point_len..][..len];
        }
        let mut places = [[None; 3]; 3];
        for (tap, place) in places.as_flattened_mut().iter_mut().enumerate() {
            *place = Some(tap * len);
        }
        transform::<L, WeightGradient, 6, 3>(&elements, len, &mut result, &places, false);
        result
    }
}

/// Some channels of one block.
fn in_block<'a>(from: &(&'a [f32], Layout, Range<usize>), block: usize) -> Channels<'a> {
    let (values, layout, ref range) = *from;
    Channels { values: layout.block(values, block), first_y: 0, layout, range: range.clone() }
}
