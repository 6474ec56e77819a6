//! The gradient of weights: a product whose inner dimension is long, and both of whose operands lie the wrong way.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    panels::{PackedFrom, Rows},
    slices::{Blocks, cut_evenly},
};
use crate::{
    memory::build,
    rows::sum_rows,
    simd::{Element, Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_groups},
    values::{Lent, Operand},
};

/// Steps that are packed at a time, at most: a panel of them and a tile's share of the other operand fit the first-level
/// cache.
const PASS_STEPS: usize = 192;

/// Inputs that a task handles, at most: with [`TASK_OUT`], so many that its part of the result, and what it packs, stay
/// in a core's second-level cache. Every range of outputs packs the inputs anew, and every range of inputs the
/// gradients, so wide ones pack less.
const TASK_IN: usize = 264;

/// Outputs that a task handles, at most.
const TASK_OUT: usize = 512;

/// What tiles of all families are high: a multiple of it.
const TILE_IN: usize = 24;

/// What tiles of all families are wide: a multiple of it.
const TILE_OUT: usize = 32;

/// Ranges of inputs that are tasks enough.
const N_DIRECT: usize = 8;

/// Tasks to cut the work into otherwise, if there are rows enough.
const N_TASKS: usize = 12;

/// What [`outer_products`] sums.
pub struct OuterProducts {
    /// `(I, O)`: the sum over rows of `x` (outer product) `gradient`.
    pub weight: Vec<f32>,
    /// `O`: the sum over rows of `gradient`; empty if it was not asked for.
    pub bias: Vec<f32>,
}

/// The gradients of the weights and the bias of a linear layer, from its inputs `(rows, I)` and the gradients of its
/// outputs `(rows, O)`.
pub fn outer_products(
    family: Family,
    (x, n_in): (Lent<'_>, usize),
    (gradient, n_out): (Lent<'_>, usize),
    wants_bias: bool,
) -> OuterProducts {
    match (x, gradient) {
        (Lent::Bf16(x), Lent::Bf16(gradient)) if family.multiplies_pairs() => {
            products(family, (x, n_in), (gradient, n_out), wants_bias)
        }
        (Lent::Bf16(x), Lent::F32(gradient)) if family.multiplies_pairs() => {
            products(family, (x, n_in), (gradient, n_out), wants_bias)
        }
        (x, gradient) => products(family, (&*x.whole(), n_in), (&*gradient.whole(), n_out), wants_bias),
    }
}

fn products<E: PackedFrom<G>, G: Operand>(
    family: Family,
    (x, n_in): (&[E], usize),
    (gradient, n_out): (&[G], usize),
    wants_bias: bool,
) -> OuterProducts {
    let shape = Shape { x, n_in, gradient, n_out, n_rows: x.len() / n_in, wants_bias };
    let (ins, outs) = (cut_evenly(n_in, TASK_IN, TILE_IN), cut_evenly(n_out, TASK_OUT, TILE_OUT));
    let blocks = Blocks { n_taps: 1, ins, outs };
    if blocks.ins.len() >= N_DIRECT {
        direct(family, shape, &blocks)
    } else {
        by_slices(family, shape, &blocks)
    }
}

/// Tasks are ranges of inputs, which are rows of the result: they write straight to it.
fn direct<E: PackedFrom<G>, G: Operand>(
    family: Family,
    shape: Shape<'_, E, G>,
    blocks: &Blocks,
) -> OuterProducts {
    let Shape { n_out, n_rows, .. } = shape;
    let of_tasks = Shape { wants_bias: false, ..shape };
    let lens: Vec<usize> = blocks.ins.iter().map(|inputs| inputs.len() * n_out).collect();
    let weight = build(&lens, |in_idx, weight| {
        for outputs in &blocks.outs {
            let (inputs, weight) = (blocks.ins[in_idx].clone(), &mut weight[outputs.start..]);
            let (shape, rows, outputs) = (of_tasks, 0..n_rows, outputs.clone());
            family.run(SumOfRows { shape, rows, inputs, outputs, weight, weight_row: n_out });
        }
    });
    let bias = if shape.wants_bias { sum_rows(&G::lend(shape.gradient).whole(), n_out) } else { Vec::new() };
    OuterProducts { weight, bias }
}

/// Tasks are slices of rows, too, whose sums add up at the end.
fn by_slices<E: PackedFrom<G>, G: Operand>(
    family: Family,
    shape: Shape<'_, E, G>,
    blocks: &Blocks,
) -> OuterProducts {
    let n_rows = shape.n_rows;
    let n_slices = N_TASKS.div_ceil(blocks.len()).min(n_rows.div_ceil(PASS_STEPS * E::PER_STEP)).max(1);
    let (weights, biases): (Vec<Vec<f32>>, Vec<Vec<f32>>) = (0..n_slices * blocks.len())
        .into_par_iter()
        .map(|task| {
            let (slice, (inputs, outputs)) = (task / blocks.len(), blocks.get(task % blocks.len()));
            // The bias is the same for all inputs.
            let shape = Shape { wants_bias: shape.wants_bias && inputs.start == 0, ..shape };
            let mut weight = vec![0.0; inputs.len() * outputs.len()];
            let rows = n_rows * slice / n_slices..n_rows * (slice + 1) / n_slices;
            let weight_row = outputs.len();
            let bias =
                family.run(SumOfRows { shape, rows, inputs, outputs, weight: &mut weight, weight_row });
            (weight, bias)
        })
        .unzip();
    let mut bias = vec![0.0_f64; if shape.wants_bias { shape.n_out } else { 0 }];
    for slice in biases.chunks_exact(blocks.len()) {
        for (sum, value) in bias.iter_mut().zip(slice.iter().flatten()) {
            *sum += f64::from(*value);
        }
    }
    let bias = bias.into_iter().map(|sum| sum as f32).collect();
    OuterProducts { weight: blocks.add_slices(weights), bias }
}

/// The operands.
#[derive(Clone, Copy)]
struct Shape<'a, E, G> {
    x: &'a [E],
    n_in: usize,
    gradient: &'a [G],
    n_out: usize,
    n_rows: usize,
    wants_bias: bool,
}

/// The sum over some rows, of some inputs by some outputs.
struct SumOfRows<'a, E, G> {
    shape: Shape<'a, E, G>,
    rows: Range<usize>,
    inputs: Range<usize>,
    outputs: Range<usize>,
    /// What is overwritten by the sum, `(inputs, outputs)`.
    weight: &'a mut [f32],
    /// From one input's row to the next.
    weight_row: usize,
}

impl<E: PackedFrom<G>, G: Element> Kernel for SumOfRows<'_, E, G> {
    /// The sum of the gradients of the outputs, if it is asked for.
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Vec<f32> {
        let Self { shape: Shape { x, n_in, gradient, n_out, wants_bias, .. }, rows, inputs, outputs, .. } =
            self;
        let panel = 2 * L::N;
        let n_columns = outputs.len();
        let n_steps = rows.len().div_ceil(E::PER_STEP);
        let n_passes = n_steps.div_ceil(PASS_STEPS).max(1);
        let group_width = inputs.len().next_multiple_of(L::ROWS);
        let mut bias = vec![0.0; if wants_bias { n_columns.next_multiple_of(panel) } else { 0 }];
        let mut packed_x = vec![0.0; group_width * n_steps.div_ceil(n_passes)];
        let mut packed_gradient = vec![0.0; panel * n_steps.div_ceil(n_passes)];
        for pass in 0..n_passes {
            let end_of = |pass: usize| rows.end.min(rows.start + n_steps * pass / n_passes * E::PER_STEP);
            let (start, end) = (end_of(pass), end_of(pass + 1));
            let n_steps = (end - start).div_ceil(E::PER_STEP);
            let packed_x = &mut packed_x[..group_width * n_steps];
            let n_together = (end - start).max(1);
            let rows = Rows {
                values: &x[start * n_in..end * n_in],
                row_len: n_in,
                n_together,
                columns: inputs.clone(),
            };
            E::pack_groups::<L>(&rows, packed_x);
            let packed_gradient = &mut packed_gradient[..panel * n_steps];
            let segments = [Segment { a: 0, b: 0, n_steps }];
            let mode = if pass == 0 { TileMode::Store } else { TileMode::Add };
            for first in (0..n_columns).step_by(panel) {
                let width = panel.min(n_columns - first);
                let columns = outputs.start + first..outputs.start + first + width;
                let values = &gradient[start * n_out..end * n_out];
                let rows = Rows { values, row_len: n_out, n_together, columns };
                let sums = if wants_bias { Some(&mut bias[first..][..panel]) } else { None };
                E::pack_panel::<L>(&rows, packed_gradient, sums);
                let operands = Operands::<E>::packed::<L>(packed_x, packed_gradient, &segments);
                let out = &mut self.weight[first..];
                let group_len = L::ROWS * n_steps * E::PER_STEP;
                multiply_groups::<L, _>(operands, group_len, inputs.len(), out, self.weight_row, width, mode);
            }
        }
        bias.truncate(n_columns);
        bias
    }
}
