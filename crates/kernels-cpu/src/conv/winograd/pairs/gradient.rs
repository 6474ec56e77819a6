//! The gradient of a convolution's weights.
#![allow(unsafe_code, reason = "a bounds check a register would halve the speed")]

use std::ops::Range;

use rayon::prelude::*;

use super::super::strips::{add_slices, strips};
use super::{
    N_POINTS, SIDE, TILE, Tile,
    algebra::{WeightGradient, both_axes},
    points::{Pixels, pair_gradient, pair_input},
};
use crate::{
    ConvGeometry,
    layout::{BLOCK, Layout},
    memory::split_mut,
    scratch::with_scratch,
    simd::{Element, Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
    values::{Lent, Values},
};

/// Channels of the input and of the output that a task handles, at most: a multiple of what a panel is wide.
const STRIP: usize = 128;

/// Tiles times images that are transformed at a time: the inner dimension of the products.
const N_ROWS: usize = 128;

/// Tasks to cut the work into, if there are tiles enough.
const N_TASKS: usize = 16;

/// Words between the points, or they would meet in the same places of the cache.
const GAP: usize = 48;

/// `(3, 3, I, O)`: for each tap, the sum over images and positions of `x` (outer product) `gradient`.
pub(in super::super::super) fn gradient(
    family: Family,
    geometry: ConvGeometry,
    layout_in: Layout,
    x: &Values,
    layout_out: Layout,
    gradient: &Values,
) -> Vec<f32> {
    match (x.lend(), gradient.lend()) {
        (Lent::Bf16(x), Lent::Bf16(gradient)) => sum(family, geometry, layout_in, x, layout_out, gradient),
        (x, gradient) => sum(family, geometry, layout_in, &x.whole(), layout_out, &gradient.whole()),
    }
}

fn sum<E: Element>(
    family: Family,
    geometry: ConvGeometry,
    layout_in: Layout,
    x: &[E],
    layout_out: Layout,
    gradient: &[E],
) -> Vec<f32> {
    let tiles_in_row = layout_out.w.div_ceil(TILE);
    let in_block = tiles_in_row * layout_out.h.div_ceil(TILE);
    // Tiles of all blocks, in the order of memory.
    let tiles: Vec<(usize, Tile)> = (0..layout_out.n_blocks() * in_block)
        .map(|idx| {
            let at = idx % in_block;
            (idx / in_block, Tile { y: at / tiles_in_row, x: at % tiles_in_row })
        })
        .collect();
    let (ins, outs) = (strips(layout_in.c, STRIP), strips(layout_out.c, STRIP));
    let n_strips = ins.len() * outs.len();
    let n_slices = N_TASKS.div_ceil(n_strips).min(tiles.len()).max(1);
    let task = |task_idx: usize| {
        let (slice, strip) = (task_idx / n_strips, task_idx % n_strips);
        let (inputs, outputs) = (ins[strip / outs.len()].clone(), outs[strip % outs.len()].clone());
        let tiles = &tiles[tiles.len() * slice / n_slices..tiles.len() * (slice + 1) / n_slices];
        let n_pairs = N_ROWS.max(BLOCK).div_ceil(2);
        let [points_len, gradients_len] = [inputs.len(), outputs.len()].map(|width| n_pairs * width + GAP);
        let sums_len = inputs.len() * outputs.len() + GAP;
        let lens = [points_len, gradients_len, sums_len].map(|len| N_POINTS * len);
        with_scratch(lens.iter().sum(), |words| {
            let parts: [&mut [f32]; 3] =
                split_mut(words, &lens).try_into().expect("three parts were asked for");
            let [points, gradients, sums] = parts;
            family.run(Task {
                tiles,
                x: (x, layout_in, inputs),
                gradient: (gradient, layout_out, outputs),
                padding: geometry.padding,
                points: (points, points_len),
                gradients: (gradients, gradients_len),
                sums: (sums, sums_len),
            })
        })
    };
    let partial: Vec<Vec<f32>> = (0..n_slices * n_strips).into_par_iter().map(task).collect();

    add_slices(&partial, &ins, &outs, layout_out.c)
}

/// The sum over some tiles, for some channels of both sides.
struct Task<'a, E> {
    /// With the block of each.
    tiles: &'a [(usize, Tile)],
    /// All blocks, and the channels that count.
    x: (&'a [E], Layout, Range<usize>),
    gradient: (&'a [E], Layout, Range<usize>),
    padding: (usize, usize),
    /// `[point][pair of rows][channel]`, a word each, and from one point to the next.
    points: (&'a mut [f32], usize),
    gradients: (&'a mut [f32], usize),
    /// `[point][input][output]`, and from one point to the next.
    sums: (&'a mut [f32], usize),
}

impl<E: Element> Kernel for Task<'_, E> {
    /// `(9, inputs, outputs)`.
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Vec<f32> {
        let ((points, points_len), (gradients, gradients_len), (sums, sums_len)) =
            (self.points, self.gradients, self.sums);
        let (n_in, n_out) = (self.x.2.len(), self.gradient.2.len());
        let mut mode = TileMode::Store;
        let mut rest = self.tiles;
        while !rest.is_empty() {
            let (mut n_pairs, mut n_tiles) = (0, 0);
            for &(block, tile) in rest {
                let n = self.x.1.n_in_block(block);
                if n_tiles > 0 && 2 * n_pairs + n > N_ROWS {
                    break;
                }
                let to = &mut points[n_pairs * n_in..];
                pair_input::<L, E>(
                    in_block(&self.x, block),
                    (n, &self.x.2),
                    tile,
                    self.padding,
                    to,
                    points_len,
                );
                let to = &mut gradients[n_pairs * n_out..];
                let gradient = in_block(&self.gradient, block);
                pair_gradient::<L, E>(gradient, (n, &self.gradient.2), tile, to, gradients_len);
                n_pairs += n.div_ceil(2);
                n_tiles += 1;
            }
            rest = &rest[n_tiles..];
            let segments = [Segment { a: 0, b: 0, n_steps: n_pairs }];
            for point in 0..N_POINTS {
                for first in (0..n_out).step_by(2 * L::N) {
                    let operands = Operands {
                        a: u16::of_words(&points[point * points_len..]),
                        a_row: 2,
                        a_step: 2 * n_in,
                        b: u16::of_words(&gradients[point * gradients_len + first..]),
                        b_step: 2 * n_out,
                        segments: &segments,
                    };
                    let n_columns = (2 * L::N).min(n_out - first);
                    let out = &mut sums[point * sums_len + first..];
                    multiply_rows::<L, _, _>(operands, n_in, out, n_out, n_columns, mode);
                }
            }
            mode = TileMode::Add;
        }
        taps::<L>(sums, sums_len, n_in * n_out)
    }
}

/// `[tap][input][output]` out of the sums at each point.
#[inline(always)]
fn taps<L: Lanes>(sums: &[f32], sums_len: usize, len: usize) -> Vec<f32> {
    let mut result = vec![0.0; 9 * len];
    assert!(len.is_multiple_of(L::N), "channels are whole registers");
    assert!((N_POINTS - 1) * sums_len + len <= sums.len(), "points end before their sums");
    for at in (0..len).step_by(L::N) {
        let mut points = [[L::zero(); SIDE]; SIDE];
        for (point, value) in points.as_flattened_mut().iter_mut().enumerate() {
            // SAFETY: the last point has `len` sums, asserted above, and earlier ones end before it.
            *value = unsafe { L::load(sums.as_ptr().add(point * sums_len + at)) };
        }
        let taps = both_axes::<L, WeightGradient, SIDE, 3>(points);
        for (tap, value) in taps.as_flattened().iter().enumerate() {
            // SAFETY: there are nine taps of `len` values, a multiple of a register.
            unsafe { L::store(result.as_mut_ptr().add(tap * len + at), *value) };
        }
    }
    result
}

/// One block, all its channels.
fn in_block<'a, E>(from: &(&'a [E], Layout, Range<usize>), block: usize) -> Pixels<'a, E> {
    let (values, layout, _) = *from;
    let start = layout.block_start(block);
    Pixels {
        values: &values[start..start + layout.block_len(block)],
        first_y: 0,
        size: (layout.h, layout.w),
        pixel_len: layout.n_in_block(block) * layout.c,
    }
}
