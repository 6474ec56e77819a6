//! A convolution, and the gradient of its input.

use std::ops::Range;

use super::super::{
    GAP,
    tiles::{Tile, Tiling},
};
use super::{
    N_POINTS, PairsWinograd, TILE,
    points::{Pixels, TileTarget, transform_input, transform_output},
    weight::Weights,
};
use crate::{
    Precision,
    matrix::Onto,
    memory::change,
    scratch::{with_halves, with_scratch},
    simd::{Element, Kernel, Lanes, Moments, Operands, Segment, TileMode, multiply_rows},
    values::{Lent, Operand, Summed, Values},
};

/// Rows of a product, images of tiles, if a task has them.
const PAIRED_ROWS: usize = 64;

/// The result in a buffer of its own; with the sums of its channels, if they are asked for.
pub(super) fn multiply(
    winograd: &PairsWinograd<'_>,
    values: &Values,
    weights: &Weights,
    precision: Precision,
    is_summed: bool,
) -> Summed {
    match precision {
        Precision::F32 => multiply_to::<f32>(winograd, values, weights, is_summed),
        Precision::Bf16 => multiply_to::<u16>(winograd, values, weights, is_summed),
    }
}

fn multiply_to<O: Operand>(
    winograd: &PairsWinograd<'_>,
    values: &Values,
    weights: &Weights,
    is_summed: bool,
) -> Summed {
    let (tasks, part_lens) = winograd.tasks();
    let channels = is_summed.then_some(winograd.tiling.to.c);
    Values::build_kept(winograd.packed.family, &part_lens, tasks, channels, |_, task, out: &mut [O], sums| {
        winograd.run(&task, values.lend(), weights, out, Onto::Nothing(sums));
    })
}

/// Adds the result to what is there.
pub(super) fn add_to(winograd: &PairsWinograd<'_>, values: &Values, weights: &Weights, sum: &mut Values) {
    match sum {
        Values::F32(sum) => add_onto(winograd, values, weights, sum),
        Values::Bf16(sum) => add_onto(winograd, values, weights, sum),
    }
}

fn add_onto<O: Element>(winograd: &PairsWinograd<'_>, values: &Values, weights: &Weights, sum: &mut [O]) {
    let (tasks, part_lens) = winograd.tasks();
    change(sum, &part_lens, tasks, |_, task, out| {
        winograd.run(&task, values.lend(), weights, out, Onto::Sum);
    });
}

/// Some rows of tiles of one block.
struct TileRows {
    block: usize,
    tile_rows: Range<usize>,
}

impl PairsWinograd<'_> {
    /// The tasks, in the order of memory, and how many values each writes. Does not depend on the number of threads.
    fn tasks(&self) -> (Vec<TileRows>, Vec<usize>) {
        let tiling = self.tiling;
        let (mut tasks, mut part_lens) = (Vec::new(), Vec::new());
        for block in 0..tiling.to.n_blocks() {
            let n_rows = PAIRED_ROWS.div_ceil(tiling.n_columns() * tiling.to.n_in_block(block));
            for start in (0..tiling.n_rows()).step_by(n_rows) {
                let tile_rows = start..tiling.n_rows().min(start + n_rows);
                part_lens.push(tiling.written(block, tile_rows.clone()).range.len());
                tasks.push(TileRows { block, tile_rows });
            }
        }
        (tasks, part_lens)
    }

    fn run<O: Element>(
        &self,
        task: &TileRows,
        values: Lent<'_>,
        weights: &Weights,
        out: &mut [O],
        onto: Onto<'_>,
    ) {
        let read = self.tiling.read(task.block, task.tile_rows.clone());
        let (values, first_y) = (values.part(read.range), read.first_y);
        match values {
            Lent::F32(values) => self.run_on(task, (values, first_y), weights, out, onto),
            Lent::Bf16(values) => self.run_on(task, (values, first_y), weights, out, onto),
        }
    }

    fn run_on<E: Element, O: Element>(
        &self,
        task: &TileRows,
        (values, first_y): (&[E], usize),
        weights: &Weights,
        out: &mut [O],
        onto: Onto<'_>,
    ) {
        let (Tiling { from, to, padding, .. }, family) = (self.tiling, self.packed.family);
        let n = to.n_in_block(task.block);
        let n_tiles = task.tile_rows.len() * self.tiling.n_columns();
        let n_at_once = (PAIRED_ROWS / n).clamp(1, n_tiles);
        // Points are of halves of words, products of words.
        let point_len = n_at_once * n * from.c + 2 * GAP;
        let product_len = n_at_once * n * family.panel() + GAP;
        with_halves(N_POINTS * point_len, |points| {
            with_scratch(N_POINTS * product_len, |products| {
                family.run(MultiplyTiles {
                    block: task.block,
                    tile_rows: task.tile_rows.clone(),
                    tiles_in_row: self.tiling.n_columns(),
                    padding,
                    pixels: Pixels { values, first_y, size: (from.h, from.w), pixel_len: n * from.c },
                    n_in: from.c,
                    n_at_once,
                    points: (points, point_len),
                    products: (products, product_len),
                    weights,
                    target: TileTarget {
                        values: out,
                        first_y: task.tile_rows.start * TILE,
                        size: (to.h, to.w, n, to.c),
                        adds: matches!(onto, Onto::Sum),
                    },
                    onto,
                });
            });
        });
    }
}

struct MultiplyTiles<'a, E, O> {
    block: usize,
    tile_rows: Range<usize>,
    tiles_in_row: usize,
    padding: (usize, usize),
    pixels: Pixels<'a, E>,
    /// Channels read.
    n_in: usize,
    /// Tiles of a product.
    n_at_once: usize,
    /// `[point][tile and image][channel]`, and from one point to the next.
    points: (&'a mut [u16], usize),
    /// `[point][tile and image][column]`, and from one point to the next.
    products: (&'a mut [f32], usize),
    weights: &'a Weights,
    target: TileTarget<'a, O>,
    onto: Onto<'a>,
}

impl<E: Element, O: Element> Kernel for MultiplyTiles<'_, E, O> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { pixels, n_in, weights, mut target, mut onto, .. } = self;
        let ((points, point_len), (products, product_len)) = (self.points, self.products);
        let (_, _, n, c) = target.size;
        let panel = 2 * L::N;
        let mut moments: Vec<Option<Moments>> = (0..c.div_ceil(panel)).map(|_| onto.moments()).collect();
        let segments = [Segment { a: 0, b: 0, n_steps: n_in / 2 }];
        let (first, end) = (self.tile_rows.start * self.tiles_in_row, self.tile_rows.end * self.tiles_in_row);
        let tile_at =
            |idx: usize| Tile { block: self.block, y: idx / self.tiles_in_row, x: idx % self.tiles_in_row };
        for start in (first..end).step_by(self.n_at_once) {
            let n_tiles = self.n_at_once.min(end - start);
            for i in 0..n_tiles {
                let to = &mut points[i * pixels.pixel_len..];
                transform_input::<L, E>(pixels, tile_at(start + i), self.padding, to, point_len);
            }
            for (panel_idx, weights) in weights.panels().enumerate() {
                let first_channel = panel_idx * panel;
                for (point, weights) in weights.enumerate() {
                    let operands = Operands {
                        a: &points[point * point_len..],
                        a_row: n_in,
                        a_step: 2,
                        b: u16::of_words(weights),
                        b_step: 2 * panel,
                        segments: &segments,
                    };
                    let out = &mut products[point * product_len..];
                    multiply_rows::<L, _, _>(operands, n_tiles * n, out, panel, panel, TileMode::Store);
                }
                for i in 0..n_tiles {
                    let columns = (first_channel, panel.min(c - first_channel));
                    let from = &products[i * n * panel..];
                    let (tile, moments) = (tile_at(start + i), moments[panel_idx].as_mut());
                    transform_output::<L, O>((from, product_len), tile, &mut target, columns, moments);
                }
            }
        }
        for (panel_idx, moments) in moments.iter().enumerate() {
            let first = panel_idx * panel;
            onto.keep(first, panel.min(c - first), moments.as_ref());
        }
    }
}
