//! The gradient of weights: a product whose inner dimension is long, and both of whose operands lie the wrong way.

use std::ops::Range;

use rayon::prelude::*;

use crate::{
    memory::build,
    rows::sum_rows,
    simd::{
        Element, Family, Kernel, Lanes, MAX_LANES, Operands, Segment, TileMode, multiply_groups,
        pack_rows_of_halves, read, write,
    },
    values::{Lent, Operand},
};

/// Steps that are packed at a time, at most: a panel of them and a tile's share of the other operand fit the first-level
/// cache.
const PASS_STEPS: usize = 192;

/// Steps that are packed before the next group of columns is begun: so few that what the groups share, the lines of
/// memory, is still in the first-level cache.
const PACKED_AT_ONCE: usize = 32;

/// Inputs that a task handles, at most: with [`TASK_OUT`], so many that its part of the result, and what it packs, stay
/// in a core's second-level cache. Every strip of outputs packs the inputs anew, and every strip of inputs the gradients,
/// so wide ones pack less.
const TASK_IN: usize = 264;

/// Outputs that a task handles, at most.
const TASK_OUT: usize = 512;

/// What tiles of all families are high: a multiple of it.
const TILE_IN: usize = 24;

/// What tiles of all families are wide: a multiple of it.
const TILE_OUT: usize = 32;

/// Strips of inputs that are tasks enough.
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

fn products<E: Packs<G>, G: Operand>(
    family: Family,
    (x, n_in): (&[E], usize),
    (gradient, n_out): (&[G], usize),
    wants_bias: bool,
) -> OuterProducts {
    let shape = Shape { x, n_in, gradient, n_out, n_rows: x.len() / n_in, wants_bias };
    let (ins, outs) = (strips(n_in, TASK_IN, TILE_IN), strips(n_out, TASK_OUT, TILE_OUT));
    if ins.len() >= N_DIRECT {
        direct(family, shape, &ins, &outs)
    } else {
        by_slices(family, shape, &ins, &outs)
    }
}

/// Tasks are strips of inputs, which are rows of the result: they write straight to it.
fn direct<E: Packs<G>, G: Operand>(
    family: Family,
    shape: Shape<'_, E, G>,
    ins: &[Range<usize>],
    outs: &[Range<usize>],
) -> OuterProducts {
    let Shape { n_out, n_rows, .. } = shape;
    let of_tasks = Shape { wants_bias: false, ..shape };
    let lens: Vec<usize> = ins.iter().map(|inputs| inputs.len() * n_out).collect();
    let weight = build(&lens, |in_idx, weight| {
        for outputs in outs {
            let (inputs, weight) = (ins[in_idx].clone(), &mut weight[outputs.start..]);
            let (shape, rows, outputs) = (of_tasks, 0..n_rows, outputs.clone());
            family.run(Task { shape, rows, inputs, outputs, weight, weight_row: n_out });
        }
    });
    let bias = if shape.wants_bias { sum_rows(&G::lend(shape.gradient).whole(), n_out) } else { Vec::new() };
    OuterProducts { weight, bias }
}

/// Tasks are slices of rows, too, whose sums add up at the end.
fn by_slices<E: Packs<G>, G: Operand>(
    family: Family,
    shape: Shape<'_, E, G>,
    ins: &[Range<usize>],
    outs: &[Range<usize>],
) -> OuterProducts {
    let Shape { n_out, n_rows, .. } = shape;
    let n_strips = ins.len() * outs.len();
    let n_slices = N_TASKS.div_ceil(n_strips).min(n_rows.div_ceil(PASS_STEPS * E::PER_STEP)).max(1);
    let tasks: Vec<(usize, &Range<usize>, &Range<usize>)> = (0..n_slices)
        .flat_map(|slice| ins.iter().flat_map(move |ins| outs.iter().map(move |outs| (slice, ins, outs))))
        .collect();
    let partial: Vec<(Vec<f32>, Vec<f32>)> = tasks
        .into_par_iter()
        .map(|(slice, inputs, outputs)| {
            let mut weight = vec![0.0; inputs.len() * outputs.len()];
            let rows = n_rows * slice / n_slices..n_rows * (slice + 1) / n_slices;
            let (inputs, outputs, weight_row) = (inputs.clone(), outputs.clone(), outputs.len());
            let bias = family.run(Task { shape, rows, inputs, outputs, weight: &mut weight, weight_row });
            (weight, bias)
        })
        .collect();

    // Slices add up in their order.
    let lens: Vec<usize> = ins.iter().map(|inputs| inputs.len() * n_out).collect();
    let weight = build(&lens, |in_idx, sum| {
        for (row, sum) in sum.chunks_exact_mut(n_out).enumerate() {
            for (out_idx, outputs) in outs.iter().enumerate() {
                let sum = &mut sum[outputs.clone()];
                for of_slice in partial.chunks_exact(n_strips) {
                    let (weight, _) = &of_slice[in_idx * outs.len() + out_idx];
                    for (sum, value) in sum.iter_mut().zip(&weight[row * outputs.len()..]) {
                        *sum += value;
                    }
                }
            }
        }
    });
    let bias_at = |out_idx: usize, column: usize| {
        partial.chunks_exact(n_strips).map(|of_slice| f64::from(of_slice[out_idx].1[column])).sum::<f64>()
            as f32
    };
    let bias_at = &bias_at;
    let bias = outs
        .iter()
        .enumerate()
        .filter(|_| shape.wants_bias)
        .flat_map(|(out_idx, outputs)| (0..outputs.len()).map(move |column| bias_at(out_idx, column)));
    OuterProducts { weight, bias: bias.collect() }
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

/// `len` columns in strips of nearly the same width: `max` at most but for rounding to whole tiles.
fn strips(len: usize, max: usize, tile: usize) -> Vec<Range<usize>> {
    let width = len.div_ceil(len.div_ceil(max)).next_multiple_of(tile);
    (0..len).step_by(width).map(|first| first..len.min(first + width)).collect()
}

/// The sum over some rows, of some inputs by some outputs.
struct Task<'a, E, G> {
    shape: Shape<'a, E, G>,
    rows: Range<usize>,
    inputs: Range<usize>,
    outputs: Range<usize>,
    /// What is overwritten by the sum, `(inputs, outputs)`.
    weight: &'a mut [f32],
    /// From one input's row to the next.
    weight_row: usize,
}

impl<E: Packs<G>, G: Element> Kernel for Task<'_, E, G> {
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
        let mut bias = vec![0.0; n_columns.next_multiple_of(panel)];
        let mut packed_x = vec![0.0; group_width * n_steps.div_ceil(n_passes)];
        let mut packed_gradient = vec![0.0; panel * n_steps.div_ceil(n_passes)];
        for pass in 0..n_passes {
            let end_of = |pass: usize| rows.end.min(rows.start + n_steps * pass / n_passes * E::PER_STEP);
            let (start, end) = (end_of(pass), end_of(pass + 1));
            let n_steps = (end - start).div_ceil(E::PER_STEP);
            let packed_x = &mut packed_x[..group_width * n_steps];
            E::pack_rows::<L>(&x[start * n_in..end * n_in], n_in, &inputs, packed_x);
            let packed_gradient = &mut packed_gradient[..panel * n_steps];
            let segments = [Segment { a: 0, b: 0, n_steps }];
            let mode = if pass == 0 { TileMode::Store } else { TileMode::Add };
            for first in (0..n_columns).step_by(panel) {
                let width = panel.min(n_columns - first);
                let from = &gradient[start * n_out + outputs.start + first..end * n_out];
                let sums = wants_bias.then_some(&mut bias[first..][..panel]);
                E::pack_and_sum::<L>(from, n_out, width, packed_gradient, sums);
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

/// How a pass's operands are packed.
trait Packs<G>: Element {
    /// The wanted columns of rows of `n_in` values to `[group of columns][step][column]`, with a tile's columns in a group.
    ///
    /// What lies behind the last wanted column is not defined, because no tile reads it.
    fn pack_rows<L: Lanes>(x: &[Self], n_in: usize, wanted: &Range<usize>, packed: &mut [f32]);

    /// Packs a panel of `width` columns, zeros after the last, and adds its rows to `sums`, if there are any.
    fn pack_and_sum<L: Lanes>(
        from: &[G],
        from_row: usize,
        width: usize,
        packed: &mut [f32],
        sums: Option<&mut [f32]>,
    );
}

/// Sums of the columns of a panel.
struct PanelSums<L: Lanes> {
    low: L::V,
    high: L::V,
}

impl<L: Lanes> PanelSums<L> {
    #[inline(always)]
    fn new() -> Self {
        Self { low: L::zero(), high: L::zero() }
    }

    #[inline(always)]
    fn add(&mut self, low: L::V, high: L::V) {
        (self.low, self.high) = (L::add(self.low, low), L::add(self.high, high));
    }

    #[inline(always)]
    fn add_to(self, sums: &mut [f32]) {
        let (low, high) = sums.split_at_mut(L::N);
        write::<L>(low, L::add(read::<L>(low), self.low));
        write::<L>(high, L::add(read::<L>(high), self.high));
    }
}

impl Packs<f32> for f32 {
    #[inline(always)]
    fn pack_rows<L: Lanes>(x: &[f32], n_in: usize, wanted: &Range<usize>, packed: &mut [f32]) {
        let n_steps = x.len() / n_in;
        for block in (0..n_steps).step_by(PACKED_AT_ONCE) {
            let steps = block..n_steps.min(block + PACKED_AT_ONCE);
            for (group, first) in wanted.clone().step_by(L::ROWS).enumerate() {
                let width = L::ROWS.min(wanted.end - first);
                let to = &mut packed[(group * n_steps + block) * L::ROWS..][..steps.len() * L::ROWS];
                for (step, to) in steps.clone().zip(to.chunks_exact_mut(L::ROWS)) {
                    let from = &x[step * n_in + first..];
                    if width == L::ROWS {
                        // Told the length, the compiler copies by registers.
                        to.copy_from_slice(&from[..L::ROWS]);
                    } else {
                        to[..width].copy_from_slice(&from[..width]);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn pack_and_sum<L: Lanes>(
        from: &[f32],
        from_row: usize,
        width: usize,
        packed: &mut [f32],
        sums: Option<&mut [f32]>,
    ) {
        let panel = 2 * L::N;
        let mut panel_sums = PanelSums::<L>::new();
        for (to, from) in packed.chunks_exact_mut(panel).zip(from.chunks(from_row)) {
            if width == panel {
                to.copy_from_slice(&from[..panel]);
            } else {
                to[..width].copy_from_slice(&from[..width]);
                to[width..].fill(0.0);
            }
            if sums.is_some() {
                panel_sums.add(read::<L>(to), read::<L>(&to[L::N..]));
            }
        }
        if let Some(sums) = sums {
            panel_sums.add_to(sums);
        }
    }
}

/// Two rows are a step; a row that is left meets zeros.
impl<G: Element> Packs<G> for u16 {
    #[inline(always)]
    fn pack_rows<L: Lanes>(x: &[u16], n_in: usize, wanted: &Range<usize>, packed: &mut [f32]) {
        let n_steps = x.len().div_ceil(2 * n_in);
        let steps = x.chunks(2 * n_in).map(|rows| rows.split_at(n_in));
        pack_rows_of_halves::<L>(steps, wanted.clone(), n_steps * L::ROWS, packed);
    }

    #[inline(always)]
    fn pack_and_sum<L: Lanes>(
        from: &[G],
        from_row: usize,
        width: usize,
        packed: &mut [f32],
        sums: Option<&mut [f32]>,
    ) {
        let panel = 2 * L::N;
        let mut panel_sums = PanelSums::<L>::new();
        let mut rest = from;
        for to in packed.chunks_exact_mut(panel) {
            let first = &rest[..width];
            let second = rest.get(from_row..from_row + width).unwrap_or_default();
            G::pack_pairs::<L>(first, second, to);
            if sums.is_some() {
                for row in [first, second] {
                    let mut lanes = [0.0; 2 * MAX_LANES];
                    for (lane, value) in lanes.iter_mut().zip(row) {
                        *lane = value.single();
                    }
                    panel_sums.add(read::<L>(&lanes), read::<L>(&lanes[L::N..]));
                }
            }
            rest = rest.get(2 * from_row..).unwrap_or_default();
        }
        if let Some(sums) = sums {
            panel_sums.add_to(sums);
        }
    }
}
