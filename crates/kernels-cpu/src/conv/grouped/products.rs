//! A convolution in groups forward, and the gradient of its input: both multiply planes by packed weights.

use std::{borrow::Cow, marker::PhantomData, ops::Range};

use super::super::{
    method::{Problem, With},
    plan::Plan,
};
use super::{
    groups_at_once,
    pack::GroupedWeights,
    planes::{Order, Planes, RowsToLay},
    task_rows,
    tile::{Run, Tap, multiply},
};
use crate::{
    Precision,
    layout::{Layout, PixelRows},
    scratch::with_scratch,
    simd::{Element, Family, Kernel, Lanes},
    values::{Lent, Summed, Values},
};

/// What is read and what is written, and the weights between them.
pub(super) struct Products {
    family: Family,
    plan: Plan,
    groups: usize,
    from: (Layout, Order),
    to: (Layout, Order),
    weights: GroupedWeights,
}

impl Products {
    /// Inputs are read, and outputs written.
    pub(super) fn forward(problem: &Problem, weight: &[f32]) -> Self {
        let Problem { family, geometry, from, to, groups, .. } = *problem;
        Self {
            family,
            plan: Plan::forward(geometry, from, to),
            groups,
            from: (from, Order::by_remainder(from.w, geometry.stride.1)),
            to: (to, Order::plain(to.w)),
            weights: GroupedWeights::forward(problem, weight),
        }
    }

    /// Gradients of outputs are read, and those of inputs written.
    pub(super) fn backward(problem: &Problem, weight: &[f32]) -> Self {
        let Problem { family, geometry, from, to, groups, .. } = *problem;
        Self {
            family,
            plan: Plan::backward(geometry, from, to),
            groups,
            from: (to, Order::plain(to.w)),
            to: (from, Order::by_remainder(from.w, geometry.stride.1)),
            weights: GroupedWeights::backward(problem, weight),
        }
    }

    /// What is written, in a buffer of its own.
    pub(super) fn multiply(&self, values: &Values, precision: Precision, with: With<'_>) -> Summed {
        let (tasks, part_lens) = self.tasks();
        let channels = with.is_summed().then_some(self.to.0.c);
        Values::build_summed(self.family, precision, &part_lens, tasks, channels, |_, task, out| {
            self.run(&task, values, out);
            if let Some(bias) = with.bias() {
                for row in out.chunks_exact_mut(bias.len()) {
                    row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
                }
            }
        })
    }

    /// The tasks, in the order of memory, and how many values each writes. Does not depend on the number of threads.
    fn tasks(&self) -> (Vec<PixelRows>, Vec<usize>) {
        let to = self.to.0;
        let (mut tasks, mut lens) = (Vec::new(), Vec::new());
        for block in 0..to.n_blocks() {
            let row_len = to.w * to.n_in_block(block);
            let n_rows = task_rows(row_len);
            for start in (0..to.h).step_by(n_rows) {
                let y = start..to.h.min(start + n_rows);
                lens.push(y.len() * row_len * to.c);
                tasks.push(PixelRows { block, y });
            }
        }
        (tasks, lens)
    }

    fn run(&self, rows: &PixelRows, values: &Values, out: &mut [f32]) {
        let (from, n) = (self.from.0, self.from.0.n_in_block(rows.block));
        let read = self.plan.y[rows.y.clone()].iter().flatten().map(|&(_, y)| y);
        let first_y = read.clone().min().unwrap_or(0);
        let read_y = first_y..read.max().map_or(first_y, |last| last + 1);
        let start = from.block_start(rows.block);
        let row_len = from.w * n * from.c;
        let values = values.lend().part(start + read_y.start * row_len..start + read_y.end * row_len);
        let read = Planes::new(read_y, &self.from.1, n);
        let written = Planes::new(rows.y.clone(), &self.to.1, n);
        let (runs, taps) = self.runs(&rows.y, &read, &written);
        let (n_inner, n_rows) = (self.weights.n_inner, self.weights.n_rows);
        let at_once = groups_at_once(n_inner.min(n_rows)).min(self.groups);
        let read_len = at_once * self.weights.n_steps() * read.distance();
        let written_len = at_once * n_rows * written.distance();
        let task = Task { products: self, read: &read, written: &written, runs: &runs, taps: &taps, at_once };
        with_scratch(read_len + written_len, |room| {
            let room = room.split_at_mut(read_len);
            if self.weights.is_in_pairs {
                values.with(|halves: &[u16]| {
                    let words = words_of(halves);
                    let rows = RowsToLay::Words { words: &words, len: from.c / 2 };
                    self.family.run(RowsOfGroups::<u16> { element: PhantomData, task, rows, room, out });
                });
            } else {
                let rows = match values {
                    Lent::F32(words) => RowsToLay::Words { words, len: from.c },
                    Lent::Bf16(halves) => RowsToLay::Halves { halves, len: from.c },
                };
                self.family.run(RowsOfGroups::<f32> { element: PhantomData, task, rows, room, out });
            }
        });
    }

    /// Runs of columns that the same taps meet, in the order of memory, and those taps.
    fn runs(&self, y: &Range<usize>, read: &Planes, written: &Planes) -> (Vec<RunOfColumns>, Vec<Tap>) {
        let (mut runs, mut taps) = (Vec::new(), Vec::new());
        let weight_len = self.weights.n_steps() * self.weights.n_rows;
        let pixel_runs = self.pixel_runs();
        for y in y.clone() {
            for pixels in &pixel_runs {
                let first = taps.len();
                for &(tap_y, from_y) in &self.plan.y[y] {
                    for &(tap_x, place) in &pixels.taps {
                        taps.push(Tap {
                            column: read.column(from_y, place),
                            weight: (tap_y * self.plan.kernel_w + tap_x) * weight_len,
                        });
                    }
                }
                runs.push(RunOfColumns {
                    taps: first..taps.len(),
                    column: written.column(y, pixels.first),
                    n_columns: written.n_columns(pixels.n),
                });
            }
        }
        (runs, taps)
    }

    /// Runs of pixels of a row, by the places of both maps.
    fn pixel_runs(&self) -> Vec<RunOfPixels> {
        let mut runs: Vec<RunOfPixels> = Vec::new();
        for (place, &pixel) in self.to.1.pixels().iter().enumerate() {
            let taps: Vec<(usize, usize)> =
                self.plan.x[pixel].iter().map(|&(tap, x)| (tap, self.from.1.place(x))).collect();
            match runs.last_mut() {
                Some(run) if run.goes_on_with(&taps) => run.n += 1,
                _ => runs.push(RunOfPixels { first: place, n: 1, taps }),
            }
        }
        runs
    }
}

/// Neighboring places that the same taps meet, each one place further.
struct RunOfPixels {
    /// The first place.
    first: usize,
    /// Places.
    n: usize,
    /// What the first one meets: pairs of (tap, place read).
    taps: Vec<(usize, usize)>,
}

impl RunOfPixels {
    fn goes_on_with(&self, taps: &[(usize, usize)]) -> bool {
        self.taps.len() == taps.len()
            && self.taps.iter().zip(taps).all(|(own, next)| own.0 == next.0 && own.1 + self.n == next.1)
    }
}

/// The same in columns of planes.
struct RunOfColumns {
    taps: Range<usize>,
    column: usize,
    n_columns: usize,
}

/// Two values that lie side by side, as a word. A copy where memory is not laid out for words, which that of buffers is.
fn words_of(halves: &[u16]) -> Cow<'_, [f32]> {
    match bytemuck::try_cast_slice(halves) {
        Ok(words) => Cow::Borrowed(words),
        Err(_) => halves
            .chunks_exact(2)
            .map(|pair| bytemuck::pod_read_unaligned(bytemuck::cast_slice(pair)))
            .collect(),
    }
}

/// What a task does, but for what it reads and writes.
#[derive(Clone, Copy)]
struct Task<'a> {
    products: &'a Products,
    read: &'a Planes,
    written: &'a Planes,
    runs: &'a [RunOfColumns],
    taps: &'a [Tap],
    /// Groups that are laid out together.
    at_once: usize,
}

struct RowsOfGroups<'a, E> {
    /// What a word is.
    element: PhantomData<E>,
    task: Task<'a>,
    rows: RowsToLay<'a>,
    /// For planes that are read, and planes that are written.
    room: (&'a mut [f32], &'a mut [f32]),
    out: &'a mut [f32],
}

impl<E: Element> Kernel for RowsOfGroups<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { task: Task { products, read, written, runs, taps, at_once }, rows, room, out, .. } = self;
        let weights = &products.weights;
        let (n_steps, n_rows) = (weights.n_steps(), weights.n_rows);
        let (read_len, written_len) = (n_steps * read.distance(), n_rows * written.distance());
        for first in (0..products.groups).step_by(at_once) {
            let groups = first..products.groups.min(first + at_once);
            read.lay::<L>(rows, groups.start * n_steps..groups.end * n_steps, room.0);
            for (i, group) in groups.clone().enumerate() {
                let planes = &room.0[i * read_len..(i + 1) * read_len];
                let to = &mut room.1[i * written_len..(i + 1) * written_len];
                for run in runs {
                    let operands = Run {
                        planes,
                        distance: read.distance(),
                        n_steps,
                        taps: &taps[run.taps.clone()],
                        weights: weights.group(group),
                        n_columns: run.n_columns,
                    };
                    multiply::<L, E>(operands, n_rows, &mut to[run.column..], written.distance());
                }
            }
            let channels = groups.start * n_rows..groups.end * n_rows;
            written.write::<L>(room.1, products.to.0.c, channels, out);
        }
    }
}
