//! The gradient of weights: a product whose inner dimension is long, and both of whose operands lie the wrong way.

use std::ops::Range;

use super::{
    panels::{PackedFrom, RowsToPack},
    slices::{Blocks, Limits},
};
use crate::{
    cut::of_at_most,
    rows::combine,
    simd::{Element, Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_groups},
    values::Lent,
};

/// Steps that are packed at a time, at most: a panel of them and a tile's share of the other operand fit the first-level
/// cache.
const OUTER_STEPS: usize = 192;

/// Inputs and outputs that a task handles, at most: so many that its part of the result, and what it packs, stay in a core's
/// second-level cache. Every range of outputs packs the inputs anew, and every range of inputs the gradients, so wide ones
/// pack less; narrower ones are for results that have no rows to be cut by.
const TASK_SIZES: [(usize, usize); 3] = [(264, 512), (264, 256), (144, 256)];

/// What tiles of all families are high: a multiple of it.
const TILE_IN: usize = 24;

/// What tiles of all families are wide: a multiple of it.
const TILE_OUT: usize = 32;

/// What [`outer_products`] sums.
pub struct OuterProducts {
    /// `(I, O)`: the sum over rows of `x` (outer product) `gradient`.
    pub weight: Vec<f32>,
    /// `O`: the sum over rows of `gradient`; empty if it was not asked for.
    pub bias: Vec<f32>,
}

/// The gradients of the weights and the bias of a linear layer, from its inputs `(rows, I)` and the gradients of its
/// outputs `(rows, O)`.
///
/// # Panics
///
/// When rows are not whole, or there are not as many of both.
pub fn outer_products(
    family: Family,
    (x, n_in): (Lent<'_>, usize),
    (gradient, n_out): (Lent<'_>, usize),
    wants_bias: bool,
) -> OuterProducts {
    assert!(x.len().is_multiple_of(n_in) && gradient.len().is_multiple_of(n_out), "rows are whole");
    assert_eq!(x.len() / n_in, gradient.len() / n_out, "there are as many rows of both");
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

fn products<E: PackedFrom<G>, G: Element>(
    family: Family,
    (x, n_in): (&[E], usize),
    (gradient, n_out): (&[G], usize),
    wants_bias: bool,
) -> OuterProducts {
    let n_rows = x.len() / n_in;
    let shape = Shape { x, n_in, gradient, n_out, wants_bias };
    let cuts = TASK_SIZES
        .map(|(max_in, max_out)| (of_at_most(n_in, max_in, TILE_IN), of_at_most(n_out, max_out, TILE_OUT)));
    let (blocks, n_slices) = Blocks::cut(1, (n_in, n_out), n_rows / E::PER_STEP, &Limits::OF_ROWS, cuts);
    let (weight, biases) = blocks.sum(n_slices, |slice, inputs, outputs, weight| {
        // The bias is the same for all inputs.
        let shape = Shape { wants_bias: wants_bias && inputs.start == 0, ..shape };
        let rows = n_rows * slice / n_slices..n_rows * (slice + 1) / n_slices;
        family.run(SumOfRows { shape, rows, inputs, outputs, weight })
    });
    // A row for each slice: its blocks lie in the order of the outputs.
    let bias = if wants_bias { combine(&biases.concat(), n_out) } else { Vec::new() };
    OuterProducts { weight, bias }
}

/// The operands.
#[derive(Clone, Copy)]
struct Shape<'a, E, G> {
    x: &'a [E],
    n_in: usize,
    gradient: &'a [G],
    n_out: usize,
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
        let n_passes = n_steps.div_ceil(OUTER_STEPS).max(1);
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
            let rows = RowsToPack {
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
                let rows = RowsToPack { values, row_len: n_out, n_together, columns };
                let sums = if wants_bias { Some(&mut bias[first..][..panel]) } else { None };
                E::pack_panel::<L>(&rows, packed_gradient, sums);
                let operands = Operands::<E>::packed::<L>(packed_x, packed_gradient, &segments);
                let out = &mut self.weight[first..];
                let group_len = L::ROWS * n_steps * E::PER_STEP;
                multiply_groups::<L, _>(operands, group_len, inputs.len(), out, n_columns, width, mode);
            }
        }
        bias.truncate(n_columns);
        bias
    }
}
