//! A convolution forward, and the gradient of its input: both gather pixels by a plan and multiply by packed weights.

use super::{
    method::{Method, Problem, With, multiply_onto},
    pack::{pack_forward, pack_transposed},
    plan::{Plan, Run, runs},
    weights,
};
use crate::{
    Precision,
    layout::{Layout, PixelRows},
    matrix::{Onto, Packed},
    memory::change,
    simd::{Addends, Element, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows_summed},
    values::{Operand, Summed, Values},
};

/// Rows of the matrix product that a task does at least, if the image has them: fewer would read the weights from
/// far away too often.
const MIN_TASK_ROWS: usize = 128;

/// Pixels are gathered and multiplied.
#[derive(Debug)]
pub(super) struct Gather;

impl Method for Gather {
    fn forward(&self, problem: &Problem, weight: &[f32], x: &Values, with: With<'_>) -> Summed {
        let Problem { family, geometry, from, to, precision, .. } = *problem;
        let packed = pack_forward(family, weight, from.c, to.c, precision);
        let plan = Plan::forward(geometry, from, to);
        let gathering = Gathering { plan: &plan, from, to, packed: &packed, bias: with.bias() };
        gathering.multiply(x, precision, with.is_summed())
    }

    fn data(&self, problem: &Problem, weight: &[f32], gradient: &Values, before: Option<Values>) -> Values {
        let Problem { family, geometry, from, to, precision, .. } = *problem;
        let packed = pack_transposed(family, weight, from.c, to.c, precision);
        let plan = Plan::backward(geometry, from, to);
        let gathering = Gathering { plan: &plan, from: to, to: from, packed: &packed, bias: None };
        multiply_onto(
            before,
            |sum| gathering.add_to(gradient, sum),
            || gathering.multiply(gradient, precision, false).values,
        )
    }

    fn weights(&self, problem: &Problem, x: &Values, gradient: &Values) -> Vec<f32> {
        weights::gradient(problem, x, gradient)
    }
}

/// Pixels of one map gathered for another.
struct Gathering<'a> {
    /// What is read where.
    plan: &'a Plan,
    /// What is read.
    from: Layout,
    /// What is written.
    to: Layout,
    /// Weights, `[panel of columns][tap][channel read][column]`.
    packed: &'a Packed,
    /// One value a channel that is written.
    bias: Option<&'a [f32]>,
}

impl Gathering<'_> {
    /// The result in a buffer of its own; with the sums of its channels, if they are asked for.
    fn multiply(&self, values: &Values, precision: Precision, is_summed: bool) -> Summed {
        match precision {
            Precision::F32 => self.multiply_to::<f32>(values, is_summed),
            Precision::Bf16 => self.multiply_to::<u16>(values, is_summed),
        }
    }

    fn multiply_to<O: Operand>(&self, values: &Values, is_summed: bool) -> Summed {
        let (tasks, part_lens) = self.tasks();
        let x_runs = runs(&self.plan.x);
        let channels = is_summed.then_some(self.to.c);
        Values::build_kept(self.packed.family, &part_lens, tasks, channels, |_, rows, out: &mut [O], sums| {
            self.run(rows, values, &x_runs, out, Onto::Nothing(sums));
        })
    }

    /// Adds the result to what is there.
    fn add_to(&self, values: &Values, sum: &mut Values) {
        match sum {
            Values::F32(sum) => self.add_onto(values, sum),
            Values::Bf16(sum) => self.add_onto(values, sum),
        }
    }

    fn add_onto<O: Element>(&self, values: &Values, sum: &mut [O]) {
        let (tasks, part_lens) = self.tasks();
        let x_runs = runs(&self.plan.x);
        change(sum, &part_lens, tasks, |_, rows, out| self.run(rows, values, &x_runs, out, Onto::Sum));
    }

    /// The tasks, in the order of memory, and how many values each writes. Does not depend on the number of threads.
    fn tasks(&self) -> (Vec<PixelRows>, Vec<usize>) {
        let Layout { h, w, c, .. } = self.to;
        let mut tasks = Vec::new();
        let mut part_lens = Vec::new();
        for block in 0..self.to.n_blocks() {
            let n = self.to.n_in_block(block);
            let n_y = MIN_TASK_ROWS.div_ceil(w * n);
            for y_start in (0..h).step_by(n_y) {
                let y_end = h.min(y_start + n_y);
                tasks.push(PixelRows { block, y: y_start..y_end });
                part_lens.push((y_end - y_start) * w * n * c);
            }
        }
        (tasks, part_lens)
    }

    fn run<O: Element>(
        &self,
        rows: PixelRows,
        values: &Values,
        x_runs: &[Run],
        out: &mut [O],
        onto: Onto<'_>,
    ) {
        // Rows of pixels that the task reads.
        let read = self.plan.y[rows.y.clone()].iter().flatten().map(|&(_, from_y)| from_y);
        let first_y = read.clone().min().unwrap_or(0);
        let end_y = read.max().map_or(0, |last| last + 1);
        let row_len = self.from.w * self.from.n_in_block(rows.block) * self.from.c;
        let start = self.from.block_start(rows.block);
        let values = values.lend().part(start + first_y * row_len..start + end_y.max(first_y) * row_len);
        let family = self.packed.family;
        if self.packed.is_in_pairs {
            values.with(|values: &[u16]| {
                family.run(GatherRows { gathering: self, rows, values, first_y, x_runs, out, onto });
            });
        } else {
            values.with(|values: &[f32]| {
                family.run(GatherRows { gathering: self, rows, values, first_y, x_runs, out, onto });
            });
        }
    }
}

struct GatherRows<'a, E, O> {
    gathering: &'a Gathering<'a>,
    /// What is written.
    rows: PixelRows,
    /// From row `first_y` on.
    values: &'a [E],
    first_y: usize,
    x_runs: &'a [Run],
    out: &'a mut [O],
    onto: Onto<'a>,
}

/// One run of positions of one row of pixels.
struct Product {
    /// Its taps, in `segments`.
    segments: std::ops::Range<usize>,
    n_rows: usize,
    /// Where it starts in the task's part of the result.
    out: usize,
}

impl<E: Element, O> GatherRows<'_, E, O> {
    fn products(&self) -> (Vec<Product>, Vec<Segment>) {
        let Gathering { plan, from, to, packed, .. } = *self.gathering;
        let n = to.n_in_block(self.rows.block);
        let panel = packed.family.panel();
        let mut products = Vec::new();
        let mut segments = Vec::new();
        for y in self.rows.y.clone() {
            for run in self.x_runs {
                let first = segments.len();
                for &(tap_y, from_y) in &plan.y[y] {
                    for &(tap_x, from_x) in &plan.x[run.start] {
                        segments.push(Segment {
                            a: ((from_y - self.first_y) * from.w + from_x) * n * from.c,
                            b: (tap_y * plan.kernel_w + tap_x) * from.c * panel,
                            n_steps: from.c / E::PER_STEP,
                        });
                    }
                }
                products.push(Product {
                    segments: first..segments.len(),
                    n_rows: run.len * n,
                    out: ((y - self.rows.y.start) * to.w + run.start) * n * to.c,
                });
            }
        }
        (products, segments)
    }
}

impl<E: Element, O: Element> Kernel for GatherRows<'_, E, O> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let (products, segments) = self.products();
        let Gathering { from, to, packed, bias, .. } = *self.gathering;
        let panel = 2 * L::N;
        // One panel at a time for the whole task, so that it stays in the second-level cache.
        for (first_column, b) in packed.panels() {
            let n_columns = panel.min(to.c - first_column);
            let mode = match (&self.onto, bias) {
                (Onto::Sum, _) => TileMode::Add,
                (Onto::Nothing(_), None) => TileMode::Store,
                (Onto::Nothing(_), Some(bias)) => {
                    TileMode::StoreWith(Addends { row: Some(&bias[first_column..]), rows: None })
                }
            };
            let mut moments = self.onto.moments();
            for product in &products {
                let operands = Operands {
                    a: self.values,
                    a_row: from.c,
                    a_step: E::PER_STEP,
                    b: E::of_words(b),
                    b_step: panel * E::PER_STEP,
                    segments: &segments[product.segments.clone()],
                };
                let out = &mut self.out[product.out + first_column..];
                let (n_rows, moments) = (product.n_rows, moments.as_mut());
                multiply_rows_summed::<L, _, _>(operands, n_rows, out, to.c, n_columns, mode, moments);
            }
            self.onto.keep(first_column, n_columns, moments.as_ref());
        }
    }
}
