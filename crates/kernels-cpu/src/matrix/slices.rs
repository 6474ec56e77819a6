//! Sums of slices of the work, which add up in the order of the slices.

use std::ops::Range;

use rayon::prelude::*;

use crate::{
    cut::{MANY_TASKS, of_at_most},
    memory::{ELEMENTWISE_LEN, build_beside, build_scattered},
};

/// How many slices a sum is cut into.
pub(crate) struct Limits {
    /// Tasks to cut the work into at least, even if slices become shorter than they should be.
    pub(crate) min_tasks: usize,
    /// Steps that a slice should have: fewer would not pay for adding it up.
    pub(crate) slice_steps: usize,
    /// Steps that a slice has in any case, but for a single one.
    pub(crate) min_slice_steps: usize,
}

impl Limits {
    /// For sums over rows.
    pub(crate) const OF_ROWS: Self = Self { min_tasks: 1, slice_steps: 768, min_slice_steps: 768 };
}

/// Values that the slices have together, at most: 16 MiB.
pub(crate) const MAX_PARTIAL_LEN: usize = 4 << 20;

/// A matrix of `n_taps` by `n_in` rows and `n_out` columns, cut into blocks: all taps of some inputs by some outputs.
pub(crate) struct Blocks {
    pub(crate) n_taps: usize,
    /// Inputs of each row of blocks.
    pub(crate) ins: Vec<Range<usize>>,
    /// Outputs of each column of blocks.
    pub(crate) outs: Vec<Range<usize>>,
}

impl Blocks {
    /// The first of some cuts, `(ins, outs)` each from coarse to fine, that makes tasks enough with the slices that a sum
    /// over `n_steps` may have, or the last; and how many slices it takes.
    pub(crate) fn cut(
        n_taps: usize,
        (n_in, n_out): (usize, usize),
        n_steps: usize,
        limits: &Limits,
        cuts: impl IntoIterator<Item = (Vec<Range<usize>>, Vec<Range<usize>>)>,
    ) -> (Self, usize) {
        let fitting = MAX_PARTIAL_LEN / (n_taps * n_in * n_out).max(1);
        let max_slices = (n_steps / limits.slice_steps).min(fitting).max(1);
        let mut cut = Self { n_taps, ins: of_at_most(n_in, n_in, 1), outs: of_at_most(n_out, n_out, 1) };
        for (ins, outs) in cuts {
            cut = Self { n_taps, ins, outs };
            if cut.len() * max_slices >= MANY_TASKS {
                break;
            }
        }
        let [least, most] = [limits.min_tasks, MANY_TASKS].map(|n_tasks| n_tasks.div_ceil(cut.len().max(1)));
        let n_slices = (n_steps / limits.slice_steps).clamp(least, most);
        let n_slices = n_slices.min(fitting).min(n_steps / limits.min_slice_steps).max(1);
        (cut, n_slices)
    }

    /// The whole, `(taps, I, O)`, out of the sums over `n_slices` slices, and what else their tasks give, in their order.
    ///
    /// `sum(slice, inputs, outputs, values)` has to overwrite the values, `(taps, inputs, outputs)`.
    pub(crate) fn sum<R: Send>(
        &self,
        n_slices: usize,
        sum: impl Fn(usize, Range<usize>, Range<usize>, &mut [f32]) -> R + Sync,
    ) -> (Vec<f32>, Vec<R>) {
        if n_slices == 1 {
            return build_scattered(&self.pieces(), self.len(), |block, values| {
                let (inputs, outputs) = self.get(block);
                sum(0, inputs, outputs, values)
            });
        }
        self.sum_slices(n_slices, self.rows_at_once(), |slice, inputs, outputs| {
            let mut values = vec![0.0; self.n_taps * inputs.len() * outputs.len()];
            let result = sum(slice, inputs, outputs, &mut values);
            (values, result)
        })
    }

    /// [`sum`](Self::sum) of what `sum(slice, inputs, outputs)` gives; a task adds up some rows of the whole.
    pub(crate) fn sum_slices<R: Send>(
        &self,
        n_slices: usize,
        rows_at_once: usize,
        sum: impl Fn(usize, Range<usize>, Range<usize>) -> (Vec<f32>, R) + Sync,
    ) -> (Vec<f32>, Vec<R>) {
        let of_task = |task: usize| {
            let (inputs, outputs) = self.get(task % self.len());
            sum(task / self.len(), inputs, outputs)
        };
        let (partial, results) = (0..n_slices * self.len()).into_par_iter().map(of_task).unzip();
        (self.add_slices(partial, rows_at_once), results)
    }

    /// Rows of the whole that are added up at once, as many as stay in a core's second-level cache.
    fn rows_at_once(&self) -> usize {
        (ELEMENTWISE_LEN / self.n_out().max(1)).max(1)
    }

    fn n_out(&self) -> usize {
        self.outs.last().map_or(0, |outputs| outputs.end)
    }

    /// The rows of all blocks in the order of the whole, with the block of each.
    fn pieces(&self) -> Vec<(usize, usize)> {
        let of_row = |row: usize| {
            self.outs
                .iter()
                .enumerate()
                .map(move |(column, outputs)| (outputs.len(), row * self.outs.len() + column))
        };
        let rows = (0..self.n_taps).flat_map(|_| self.ins.iter().enumerate());
        rows.flat_map(|(row, inputs)| inputs.clone().flat_map(move |_| of_row(row))).collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ins.len() * self.outs.len()
    }

    /// Inputs and outputs of a block; the outputs are the inner axis.
    fn get(&self, block: usize) -> (Range<usize>, Range<usize>) {
        let (row, column) = (block / self.outs.len(), block % self.outs.len());
        (self.ins[row].clone(), self.outs[column].clone())
    }

    /// The whole, `(taps, I, O)`, out of what each slice has summed up: its blocks one after the other, `(taps, inputs,
    /// outputs)` each.
    fn add_slices(&self, partial: Vec<Vec<f32>>, rows_at_once: usize) -> Vec<f32> {
        let (n_out, parts) = (self.n_out(), self.parts(rows_at_once));
        let lens: Vec<usize> = parts.iter().map(|part| part.n_rows * n_out).collect();
        build_beside(&lens, parts, |_, part, sum| {
            for blocks in partial.chunks_exact(self.len()) {
                let blocks = &blocks[part.row_of_blocks * self.outs.len()..];
                for (outputs, block) in self.outs.iter().zip(blocks) {
                    let rows = block[part.first_row * outputs.len()..].chunks_exact(outputs.len());
                    for (sum, row) in sum.chunks_exact_mut(n_out).zip(rows) {
                        for (sum, value) in sum[outputs.clone()].iter_mut().zip(row) {
                            *sum += value;
                        }
                    }
                }
            }
        })
    }

    /// Rows of the whole in its order, at most so many in a part.
    fn parts(&self, max_rows: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        for tap in 0..self.n_taps {
            for (row_of_blocks, inputs) in self.ins.iter().enumerate() {
                for first in (0..inputs.len()).step_by(max_rows) {
                    let n_rows = max_rows.min(inputs.len() - first);
                    parts.push(Part { row_of_blocks, first_row: tap * inputs.len() + first, n_rows });
                }
            }
        }
        parts
    }
}

/// Rows of the whole that one task adds up.
struct Part {
    row_of_blocks: usize,
    /// Of the blocks' rows.
    first_row: usize,
    n_rows: usize,
}
