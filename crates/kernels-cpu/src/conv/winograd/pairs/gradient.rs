//! The gradient of a convolution's weights.
#![allow(unsafe_code, reason = "a bounds check a register would halve the speed")]

use std::ops::Range;

use super::super::{
    GAP,
    sums::{self, Steps, add_products},
    tiles::{Batch, Tile, Tiling, batches},
};
use super::{
    N_POINTS, SIDE, TILE,
    algebra::{WeightGradient, both_axes},
    points::{Pixels, pair_gradient, pair_input},
};
use crate::{
    ConvGeometry,
    layout::{IMAGES_IN_BLOCK, Layout},
    memory::split,
    scratch::with_scratch,
    simd::{Element, Family, Kernel, Lanes, TileMode, has_room},
    values::{Lent, Values},
};

/// Images of tiles that are transformed at a time: the inner dimension of the products.
const PAIRED_GRADIENT_ROWS: usize = 128;

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
    let tiling = Tiling::forward(TILE, geometry, layout_in, layout_out);
    sums::gradient(tiling, PAIRED_GRADIENT_ROWS, |tiles, inputs, outputs| {
        let n_pairs = PAIRED_GRADIENT_ROWS.max(IMAGES_IN_BLOCK).div_ceil(2);
        let [points_len, gradients_len] = [inputs.len(), outputs.len()].map(|width| n_pairs * width + GAP);
        let sums_len = inputs.len() * outputs.len() + GAP;
        let lens = [points_len, gradients_len, sums_len].map(|len| N_POINTS * len);
        with_scratch(lens.iter().sum(), |words| {
            let [points, gradients, sums] = split(words, lens);
            let mut mode = TileMode::Store;
            for batch in batches(tiles, layout_out, PAIRED_GRADIENT_ROWS, 2) {
                let n_pairs = family.run(TransformBatch {
                    batch,
                    x: (x, layout_in, &inputs),
                    gradient: (gradient, layout_out, &outputs),
                    padding: geometry.padding,
                    points: (&mut *points, points_len),
                    gradients: (&mut *gradients, gradients_len),
                });
                let x = Steps { words: points, point_len: points_len, n_channels: inputs.len() };
                let gradient =
                    Steps { words: gradients, point_len: gradients_len, n_channels: outputs.len() };
                add_products::<u16>(family, x, gradient, n_pairs, (&mut *sums, sums_len), mode);
                mode = TileMode::Add;
            }
            family.run(TapsOfPoints { sums, sums_len, len: inputs.len() * outputs.len() })
        })
    })
}

/// Some tiles, and some channels of both sides.
struct TransformBatch<'a, E> {
    batch: Batch<'a>,
    /// All blocks, and the channels that count.
    x: (&'a [E], Layout, &'a Range<usize>),
    gradient: (&'a [E], Layout, &'a Range<usize>),
    padding: (usize, usize),
    /// `[point][pair of rows][channel]`, a word each, and from one point to the next.
    points: (&'a mut [f32], usize),
    gradients: (&'a mut [f32], usize),
}

impl<E: Element> Kernel for TransformBatch<'_, E> {
    /// Pairs of rows.
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self) -> usize {
        let ((points, points_len), (gradients, gradients_len)) = (self.points, self.gradients);
        let (ins, outs) = (self.x.2, self.gradient.2);
        let mut n_pairs = 0;
        for &tile in self.batch.tiles {
            let n = self.x.1.n_in_block(tile.block);
            let to = &mut points[n_pairs * ins.len()..];
            let x = in_block(&self.x, tile);
            pair_input::<L, E>(x, (n, ins), tile, self.padding, to, points_len);
            let to = &mut gradients[n_pairs * outs.len()..];
            let gradient = in_block(&self.gradient, tile);
            pair_gradient::<L, E>(gradient, (n, outs), tile, to, gradients_len);
            n_pairs += n.div_ceil(2);
        }
        n_pairs
    }
}

/// `[tap][input][output]` out of the sums at each point.
struct TapsOfPoints<'a> {
    sums: &'a [f32],
    /// From one point to the next.
    sums_len: usize,
    /// Values of a tap.
    len: usize,
}

impl Kernel for TapsOfPoints<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Vec<f32> {
        taps::<L>(self.sums, self.sums_len, self.len)
    }
}

#[inline(always)]
fn taps<L: Lanes>(sums: &[f32], sums_len: usize, len: usize) -> Vec<f32> {
    let mut result = vec![0.0; 9 * len];
    assert!(len.is_multiple_of(L::N), "channels are whole registers");
    assert!(has_room([(N_POINTS - 1, sums_len)], len, sums.len()), "points end before their sums");
    assert!(has_room([(9, len)], 0, result.len()), "the taps have no room");
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
fn in_block<'a, E>(from: &(&'a [E], Layout, &Range<usize>), tile: Tile) -> Pixels<'a, E> {
    let ((values, layout, _), block) = (*from, tile.block);
    let start = layout.block_start(block);
    Pixels {
        values: &values[start..start + layout.block_len(block)],
        first_y: 0,
        size: (layout.h, layout.w),
        pixel_len: layout.n_in_block(block) * layout.c,
    }
}
