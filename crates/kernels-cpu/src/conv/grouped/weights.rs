//! The gradient of the weights of a convolution in groups: sums of products of columns.

use std::ops::Range;

use super::super::{
    method::Problem,
    plan::{Plan, by_tap},
};
use super::{
    groups_at_once,
    pack::of_group,
    planes::{Order, Planes, RowsToLay},
    task_rows,
    tile::{Meeting, sums_of_products},
};
use crate::{
    layout::{Layout, PixelRows},
    matrix::{Blocks, Limits},
    scratch::with_scratch,
    simd::{Kernel, Lanes},
    values::{Lent, Values},
};

/// `(KH, KW, I / groups, O)`: for each tap, the sum over images and positions of `x` times `gradient`, within each group.
pub(super) fn gradient(problem: &Problem, x: &Values, gradient: &Values) -> Vec<f32> {
    let Problem { geometry, from, to, groups, .. } = *problem;
    let (n_in, n_out) = of_group(problem);
    let plan = Plan::forward(geometry, from, to);
    let order = Order::by_remainder(from.w, geometry.stride.1);
    let sum = Sum {
        problem,
        taps_y: by_tap(&plan.y, geometry.kernel.0),
        runs_x: by_tap(&plan.x, geometry.kernel.1).iter().map(|pairs| runs(pairs, &order)).collect(),
        x: (x, order),
        gradient: (gradient, Order::plain(to.w)),
    };
    let at_once = groups_at_once(n_in.min(n_out)).min(groups);
    let outs = (0..groups).step_by(at_once).map(|first| first * n_out..groups.min(first + at_once) * n_out);
    let n_taps = geometry.kernel.0 * geometry.kernel.1;
    let cuts = [(std::iter::once(0..n_in).collect(), outs.collect())];
    let (blocks, n_slices) = Blocks::cut(n_taps, (n_in, to.c), to.n_rows(), &Limits::OF_ROWS, cuts);
    let units = units(&plan, to);
    let n_slices = n_slices.min(units.len()).max(1);
    let of_slice = |slice: usize, _: Range<usize>, outputs: Range<usize>, values: &mut [f32]| {
        values.fill(0.0);
        let groups = outputs.start / n_out..outputs.end / n_out;
        for unit in &units[units.len() * slice / n_slices..units.len() * (slice + 1) / n_slices] {
            sum.add(unit, groups.clone(), values);
        }
    };
    blocks.sum(n_slices, of_slice).0
}

/// Some rows of pixels of one block.
struct UnitOfRows {
    /// Of the output.
    out: PixelRows,
    /// Of the input: all that the output's rows read.
    in_y: Range<usize>,
}

fn units(plan: &Plan, to: Layout) -> Vec<UnitOfRows> {
    let mut units = Vec::new();
    for block in 0..to.n_blocks() {
        let n_rows = task_rows(to.w * to.n_in_block(block));
        for start in (0..to.h).step_by(n_rows) {
            let y = start..to.h.min(start + n_rows);
            let read = plan.y[y.clone()].iter().flatten().map(|&(_, y)| y);
            let first_y = read.clone().min().unwrap_or(0);
            let in_y = first_y..read.max().map_or(first_y, |last| last + 1);
            units.push(UnitOfRows { out: PixelRows { block, y }, in_y });
        }
    }
    units
}

/// Neighboring pixels of the output, and the places of what one tap reads for them, neighbors too.
struct RunOfPixels {
    out_x: usize,
    place: usize,
    n: usize,
}

/// Joins pairs of (pixel of the output, pixel of the input).
fn runs(pairs: &[(usize, usize)], order: &Order) -> Vec<RunOfPixels> {
    let mut runs: Vec<RunOfPixels> = Vec::new();
    for &(out_x, in_x) in pairs {
        let place = order.place(in_x);
        match runs.last_mut() {
            Some(run) if run.out_x + run.n == out_x && run.place + run.n == place => run.n += 1,
            _ => runs.push(RunOfPixels { out_x, place, n: 1 }),
        }
    }
    runs
}

/// What is summed up.
struct Sum<'a> {
    problem: &'a Problem,
    /// For each vertical tap, pairs of rows (of the output, of the input) that it connects.
    taps_y: Vec<Vec<(usize, usize)>>,
    /// For each horizontal tap, runs of pixels.
    runs_x: Vec<Vec<RunOfPixels>>,
    x: (&'a Values, Order),
    gradient: (&'a Values, Order),
}

impl Sum<'_> {
    /// Adds what a unit gives to some groups, `(taps, inputs, outputs of the groups)`.
    fn add(&self, unit: &UnitOfRows, groups: Range<usize>, values: &mut [f32]) {
        let Problem { family, from, to, .. } = *self.problem;
        let (n_in, n_out) = of_group(self.problem);
        let (block, n) = (unit.out.block, to.n_in_block(unit.out.block));
        let x_planes = Planes::new(unit.in_y.clone(), &self.x.1, n);
        let gradient_planes = Planes::new(unit.out.y.clone(), &self.gradient.1, n);
        let meetings = self.meetings(unit, &x_planes, &gradient_planes);
        let x_len = groups.len() * n_in * x_planes.distance();
        let gradient_len = groups.len() * n_out * gradient_planes.distance();
        with_scratch(x_len + gradient_len, |room| {
            let (x_room, gradient_room) = room.split_at_mut(x_len);
            family.run(SumOfUnit {
                sizes: (n_in, n_out),
                x: (&x_planes, rows(self.x.0, from, block, &unit.in_y), x_room),
                gradient: (&gradient_planes, rows(self.gradient.0, to, block, &unit.out.y), gradient_room),
                meetings: &meetings,
                groups,
                values,
            });
        });
    }

    /// The columns that meet by each tap.
    fn meetings(&self, unit: &UnitOfRows, x: &Planes, gradient: &Planes) -> Vec<Vec<Meeting>> {
        let of_tap = |(ys, runs): (&Vec<(usize, usize)>, &Vec<RunOfPixels>)| {
            let ys = ys.iter().filter(|(out_y, _)| unit.out.y.contains(out_y));
            let meetings = ys.flat_map(|&(out_y, in_y)| {
                runs.iter().map(move |run| Meeting {
                    x: x.column(in_y, run.place),
                    gradient: gradient.column(out_y, run.out_x),
                    n_columns: x.n_columns(run.n),
                })
            });
            meetings.collect()
        };
        self.taps_y.iter().flat_map(|ys| self.runs_x.iter().map(move |runs| (ys, runs))).map(of_tap).collect()
    }
}

/// Rows of pixels of a block.
fn rows<'a>(values: &'a Values, layout: Layout, block: usize, y: &Range<usize>) -> RowsToLay<'a> {
    let row_len = layout.w * layout.n_in_block(block) * layout.c;
    let start = layout.block_start(block);
    match values.lend().part(start + y.start * row_len..start + y.end * row_len) {
        Lent::F32(words) => RowsToLay::Words { words, len: layout.c },
        Lent::Bf16(halves) => RowsToLay::Halves { halves, len: layout.c },
    }
}

struct SumOfUnit<'a> {
    /// Inputs and outputs of a group.
    sizes: (usize, usize),
    /// How planes of the input lie, what is laid so, and room for it.
    x: (&'a Planes, RowsToLay<'a>, &'a mut [f32]),
    /// The same of the gradient.
    gradient: (&'a Planes, RowsToLay<'a>, &'a mut [f32]),
    /// Of each tap.
    meetings: &'a [Vec<Meeting>],
    groups: Range<usize>,
    /// What is added to.
    values: &'a mut [f32],
}

impl Kernel for SumOfUnit<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { sizes: (n_in, n_out), x, gradient, meetings, groups, values } = self;
        x.0.lay::<L>(x.1, groups.start * n_in..groups.end * n_in, x.2);
        gradient.0.lay::<L>(gradient.1, groups.start * n_out..groups.end * n_out, gradient.2);
        let (x_distance, gradient_distance) = (x.0.distance(), gradient.0.distance());
        let n_columns = groups.len() * n_out;
        for group in 0..groups.len() {
            let own = OfGroup {
                x: (&x.2[group * n_in * x_distance..][..n_in * x_distance], x_distance),
                gradient: (
                    &gradient.2[group * n_out * gradient_distance..][..n_out * gradient_distance],
                    gradient_distance,
                ),
                sizes: (n_in, n_out),
                meetings,
            };
            let values = &mut values[group * n_out..];
            match n_in.min(n_out) {
                1 => own.add::<L, 1, 4>(values, n_columns),
                // Sixteen sums and what they are of need more registers than most machines have.
                4.. if L::ROWS >= 8 => own.add::<L, 4, 1>(values, n_columns),
                _ => own.add::<L, 2, 2>(values, n_columns),
            }
        }
    }
}

/// One group's planes, each from its first on.
struct OfGroup<'a> {
    x: (&'a [f32], usize),
    gradient: (&'a [f32], usize),
    sizes: (usize, usize),
    meetings: &'a [Vec<Meeting>],
}

impl OfGroup<'_> {
    /// Adds the group's sums to its columns of `values`, `(taps, inputs, n_columns)`, in tiles of `T` by `T`. The last tile may be
    /// among the channels of the one before, whose sums are not added again.
    #[inline(always)]
    fn add<L: Lanes, const T: usize, const U: usize>(&self, values: &mut [f32], n_columns: usize) {
        let (n_in, n_out) = self.sizes;
        for first_in in (0..n_in).step_by(T) {
            let input = first_in.min(n_in - T);
            for first_out in (0..n_out).step_by(T) {
                let output = first_out.min(n_out - T);
                let x = (&self.x.0[input * self.x.1..], self.x.1);
                let gradient = (&self.gradient.0[output * self.gradient.1..], self.gradient.1);
                for (tap, meetings) in self.meetings.iter().enumerate() {
                    let sums = sums_of_products::<L, T, U>(x, gradient, meetings);
                    for (i, sums) in sums.iter().enumerate().skip(first_in - input) {
                        let row = &mut values[(tap * n_in + input + i) * n_columns + output..][..T];
                        for (value, sum) in row.iter_mut().zip(sums).skip(first_out - output) {
                            *value += sum;
                        }
                    }
                }
            }
        }
    }
}
