//! The gradient of a convolution's weights.

use std::{marker::PhantomData, ops::Range};

use super::{
    method::Problem,
    plan::{AxisPlan, Plan, by_tap},
};
use crate::{
    Precision,
    cut::of_at_most,
    layout::Layout,
    matrix::{Blocks, Limits, PackedFrom, RowsToPack, outer_products},
    memory::{Plain, build_beside},
    scratch::with_scratch,
    simd::{Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
    values::{Lent, Operand, Values},
};

/// Steps of the inner product between two additions to memory, at most: fewer would add to memory too often, more
/// would push the panels out of the first-level cache.
const SUMMED_STEPS: usize = 512;

/// Steps that are packed at a time, if the image has them.
const UNIT_STEPS: usize = 512;

/// The same, where there would be fewer units than slices.
const FEWER_STEPS: usize = 128;

/// Panels of output channels that a task computes: each packs the input anew.
const OUT_PANELS: usize = 4;

/// Input channels that a task computes at most, where the batch cannot be cut into tasks enough: each packs the gradient
/// anew.
const TASK_IN: [usize; 3] = [256, 128, 64];

/// `(KH, KW, I, O)`: for each tap, the sum over images and positions of `x` (outer product) `gradient`.
pub(super) fn gradient(problem: &Problem, x: &Values, gradient: &Values) -> Vec<f32> {
    if problem.geometry.kernel == (1, 1) && problem.geometry.padding == (0, 0) {
        return of_pixels(problem, x, gradient);
    }
    if x.precision() == Precision::Bf16 && problem.family.multiplies_pairs() {
        gradient_of::<u16>(problem, x, gradient)
    } else {
        gradient_of::<f32>(problem, x, gradient)
    }
}

fn gradient_of<E: Step>(problem: &Problem, x: &Values, gradient: &Values) -> Vec<f32> {
    let Problem { family, geometry, from: layout_in, to: layout_out, .. } = *problem;
    let plan = Plan::forward(geometry, layout_in, layout_out);
    let taps = TapPlan { y: by_tap(&plan.y, geometry.kernel.0), x: by_tap(&plan.x, geometry.kernel.1) };
    let n_taps = geometry.kernel.0 * geometry.kernel.1;
    let (n_in, n_out) = (layout_in.c, layout_out.c);
    let width = OUT_PANELS * family.panel();
    let outs = of_at_most(n_out, width, width);
    let ins = std::iter::once(n_in).chain(TASK_IN.into_iter().filter(|&width| width < n_in));
    let cuts = ins.map(|width| (of_at_most(n_in, width, width), outs.clone()));
    let (blocks, n_slices) =
        Blocks::cut(n_taps, (n_in, n_out), layout_out.n_rows() / E::PER_STEP, &Limits::OF_ROWS, cuts);
    let mut units = units(&plan.y, layout_out, UNIT_STEPS * E::PER_STEP);
    if units.len() < n_slices {
        units = self::units(&plan.y, layout_out, FEWER_STEPS * E::PER_STEP);
    }
    let n_slices = n_slices.min(units.len()).max(1);
    let sum = |slice: usize, channels, columns, sum: &mut [f32]| {
        sum.fill(0.0);
        let units = &units[units.len() * slice / n_slices..units.len() * (slice + 1) / n_slices];
        let (operand, taps) = (PhantomData, &taps);
        let (x, gradient) = ((x, channels), (gradient, columns));
        family.run(SumOfUnits::<E> { operand, taps, units, layout_in, x, layout_out, gradient, sum });
    };
    blocks.sum(n_slices, sum).0
}

/// Of a kernel of one tap: the pixels that it meets are rows of one product.
fn of_pixels(problem: &Problem, x: &Values, gradient: &Values) -> Vec<f32> {
    let Problem { family, from, to, .. } = *problem;
    let met = match x.lend() {
        Lent::F32(x) => Values::F32(pixels_met(problem, x)),
        Lent::Bf16(x) => Values::Bf16(pixels_met(problem, x)),
    };
    outer_products(family, (met.lend(), from.c), (gradient.lend(), to.c), false).weight
}

/// One pixel of the input for each of the output, laid as the output is.
fn pixels_met<V: Plain>(problem: &Problem, x: &[V]) -> Vec<V> {
    let Problem { geometry, from, to, .. } = *problem;
    let (tasks, lens) = Layout { c: from.c, ..to }.tasks();
    build_beside(&lens, tasks, |_, rows, part| {
        let (block, pixel) = (from.block(x, rows.block), from.n_in_block(rows.block) * from.c);
        let pixels = rows.y.flat_map(|y| (0..to.w).map(move |x| (y, x)));
        for ((y, x), to) in pixels.zip(part.chunks_exact_mut(pixel)) {
            let at = (y * geometry.stride.0 * from.w + x * geometry.stride.1) * pixel;
            to.copy_from_slice(&block[at..at + pixel]);
        }
    })
}

/// What a step is packed of: values as they are kept.
trait Step: Operand + PackedFrom<Self> {}

impl Step for f32 {}
impl Step for u16 {}

/// For each tap along an axis, pairs of (position of the output, position of the input) that it connects.
struct TapPlan {
    y: Vec<Vec<(usize, usize)>>,
    x: Vec<Vec<(usize, usize)>>,
}

/// Some rows of pixels of one block.
struct UnitOfRows {
    block: usize,
    /// Of the output.
    out_y: Range<usize>,
    /// Of the input: all that the output's rows read.
    in_y: Range<usize>,
}

fn units(plan_y: &AxisPlan, layout_out: Layout, n_rows: usize) -> Vec<UnitOfRows> {
    let mut units = Vec::new();
    for block in 0..layout_out.n_blocks() {
        let n_y = n_rows.div_ceil(layout_out.w * layout_out.n_in_block(block));
        for start in (0..layout_out.h).step_by(n_y) {
            let out_y = start..layout_out.h.min(start + n_y);
            let read = plan_y[out_y.clone()].iter().flatten().map(|&(_, pos)| pos);
            let in_y = read.clone().min().unwrap_or(0)..read.max().map_or(0, |last| last + 1);
            units.push(UnitOfRows { block, out_y, in_y });
        }
    }
    units
}

/// The sum over some units for some channels of both sides.
struct SumOfUnits<'a, E> {
    operand: PhantomData<E>,
    taps: &'a TapPlan,
    units: &'a [UnitOfRows],
    layout_in: Layout,
    x: (&'a Values, Range<usize>),
    layout_out: Layout,
    gradient: (&'a Values, Range<usize>),
    /// What is added to, `(KH, KW, inputs, outputs)`.
    sum: &'a mut [f32],
}

impl<E: Step> Kernel for SumOfUnits<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let panel = 2 * L::N;
        let (n_in, n_columns) = (self.x.1.len(), self.gradient.1.len());
        for unit in self.units {
            let n_steps = self.layout_in.n_in_block(unit.block).div_ceil(E::PER_STEP);
            // Panels of the input are as narrow as a tile is high, so that a tile reads nothing it does not use.
            let x_panel_len = unit.in_y.len() * self.layout_in.w * n_steps * L::ROWS;
            let gradient_panel_len = unit.out_y.len() * self.layout_out.w * n_steps * panel;
            let x_len = n_in.div_ceil(L::ROWS) * x_panel_len;
            let gradient_len = n_columns.div_ceil(panel) * gradient_panel_len;
            with_scratch(x_len + gradient_len, |packed| {
                let (packed_x, packed_gradient) = packed.split_at_mut(x_len);
                self.pack::<L>(unit, packed_x, packed_gradient);
                let passes = self.passes(unit, n_steps, (L::ROWS * E::PER_STEP, panel * E::PER_STEP));
                for (panel_in, a) in packed_x.chunks_exact(x_panel_len.max(1)).enumerate() {
                    let first_row = panel_in * L::ROWS;
                    let n_rows = L::ROWS.min(n_in - first_row);
                    for (panel_out, b) in packed_gradient.chunks_exact(gradient_panel_len).enumerate() {
                        let first_column = panel_out * panel;
                        let width = panel.min(n_columns - first_column);
                        for pass in &passes {
                            let operands = Operands::<E>::packed::<L>(a, b, &pass.segments);
                            let out =
                                &mut self.sum[(pass.tap * n_in + first_row) * n_columns + first_column..];
                            multiply_rows::<L, _, _>(operands, n_rows, out, n_columns, width, TileMode::Add);
                        }
                    }
                }
            });
        }
    }
}

impl<E: Step> SumOfUnits<'_, E> {
    /// Packs both operands of a unit.
    fn pack<L: Lanes>(&mut self, unit: &UnitOfRows, packed_x: &mut [f32], packed_gradient: &mut [f32]) {
        let Self { layout_in, layout_out, .. } = *self;
        let n = layout_in.n_in_block(unit.block);
        let (x, channels) = &self.x;
        let x = x.lend().part(rows_of_pixels(layout_in, unit.block, &unit.in_y));
        x.with(|values: &[E]| {
            L::outlined(PackInputs { values, n, c: layout_in.c, channels, packed: packed_x });
        });
        let (gradient, columns) = &self.gradient;
        let gradient = gradient.lend().part(rows_of_pixels(layout_out, unit.block, &unit.out_y));
        gradient.with(|values: &[E]| {
            L::outlined(PackGradients { values, n, c: layout_out.c, columns, packed: packed_gradient });
        });
    }
}

/// Images of `n` at each position, in groups of channels.
///
/// A kernel of its own, outlined: it is called inside a closure, and closures are compiled without the instructions of the family.
struct PackInputs<'a, E> {
    values: &'a [E],
    n: usize,
    c: usize,
    channels: &'a Range<usize>,
    packed: &'a mut [f32],
}

impl<E: Step> Kernel for PackInputs<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let rows = RowsToPack {
            values: self.values,
            row_len: self.c,
            n_together: self.n,
            columns: self.channels.clone(),
        };
        E::pack_groups::<L>(&rows, self.packed);
    }
}

/// The same in panels of some channels.
struct PackGradients<'a, E> {
    values: &'a [E],
    n: usize,
    c: usize,
    columns: &'a Range<usize>,
    packed: &'a mut [f32],
}

impl<E: Step> Kernel for PackGradients<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { values, n, c, columns, packed } = self;
        let panel = 2 * L::N;
        let n_steps = RowsToPack { values, row_len: c, n_together: n, columns: 0..c }.n_steps(E::PER_STEP);
        let panels = packed.chunks_exact_mut((n_steps * panel).max(1));
        for (first, packed) in columns.clone().step_by(panel).zip(panels) {
            let columns = first..columns.end.min(first + panel);
            E::pack_panel::<L>(&RowsToPack { values, row_len: c, n_together: n, columns }, packed, None);
        }
    }
}

/// Part of what one tap adds to the sum.
struct Pass {
    tap: usize,
    segments: Vec<Segment>,
}

impl<E: Step> SumOfUnits<'_, E> {
    /// Everything that a unit adds, whose positions have `n` steps each; `panels` are the widths of the panels of both
    /// operands, in values.
    fn passes(&self, unit: &UnitOfRows, n: usize, panels: (usize, usize)) -> Vec<Pass> {
        let (w_in, w_out) = (self.layout_in.w, self.layout_out.w);
        let mut passes = Vec::new();
        for (tap_y, ys) in self.taps.y.iter().enumerate() {
            for (tap_x, xs) in self.taps.x.iter().enumerate() {
                let tap = tap_y * self.taps.x.len() + tap_x;
                let mut pass = PassBuilder { tap, panels, segments: Vec::new(), n_steps: 0 };
                for &(out_y, in_y) in ys.iter().filter(|(out_y, _)| unit.out_y.contains(out_y)) {
                    for &(out_x, in_x) in xs {
                        let a = ((in_y - unit.in_y.start) * w_in + in_x) * n;
                        let b = ((out_y - unit.out_y.start) * w_out + out_x) * n;
                        pass.push(a, b, n, &mut passes);
                    }
                }
                pass.finish(&mut passes);
            }
        }
        passes
    }
}

/// Joins neighboring positions to segments, and segments to passes of at most [`SUMMED_STEPS`].
struct PassBuilder {
    tap: usize,
    panels: (usize, usize),
    segments: Vec<Segment>,
    n_steps: usize,
}

impl PassBuilder {
    fn push(&mut self, row_a: usize, row_b: usize, n_steps: usize, passes: &mut Vec<Pass>) {
        if self.n_steps + n_steps > SUMMED_STEPS {
            self.finish(passes);
        }
        let (panel_a, panel_b) = self.panels;
        let (a, b) = (row_a * panel_a, row_b * panel_b);
        match self.segments.last_mut() {
            Some(last) if last.a + last.n_steps * panel_a == a && last.b + last.n_steps * panel_b == b => {
                last.n_steps += n_steps;
            }
            _ => self.segments.push(Segment { a, b, n_steps }),
        }
        self.n_steps += n_steps;
    }

    fn finish(&mut self, passes: &mut Vec<Pass>) {
        if self.n_steps > 0 {
            passes.push(Pass { tap: self.tap, segments: std::mem::take(&mut self.segments) });
            self.n_steps = 0;
        }
    }
}

/// Where rows of pixels are.
fn rows_of_pixels(layout: Layout, block: usize, y: &Range<usize>) -> Range<usize> {
    let row_len = layout.w * layout.n_in_block(block) * layout.c;
    let start = layout.block_start(block);
    start + y.start * row_len..start + y.end * row_len
}
