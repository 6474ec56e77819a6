//! Sums of slices of the work, which add up in the order of the slices.

use std::ops::Range;

use rayon::prelude::*;

use crate::memory::{TASK_LEN, build_beside, build_scattered};

/// Tasks to cut the work into, if there is enough of it: more than most machines have cores. Does not depend on the machine,
/// because results would.
const N_TASKS: usize = 64;

/// Steps that a slice has at least: fewer would not pay for adding it up.
const MIN_SLICE_STEPS: usize = 768;

/// Values that the slices have together, at most: 16 MiB.
const MAX_PARTIAL_LEN: usize = 4 << 20;

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
        cuts: impl IntoIterator<Item = (Vec<Range<usize>>, Vec<Range<usize>>)>,
    ) -> (Self, usize) {
        let fitting = MAX_PARTIAL_LEN / (n_taps * n_in * n_out).max(1);
        let max_slices = (n_steps / MIN_SLICE_STEPS).min(fitting).max(1);
        let mut cut = Self { n_taps, ins: cut_evenly(n_in, n_in, 1), outs: cut_evenly(n_out, n_out, 1) };
        for (ins, outs) in cuts {
            cut = Self { n_taps, ins, outs };
            if cut.len() * max_slices >= N_TASKS {
                break;
            }
        }
        let n_slices = N_TASKS.div_ceil(cut.len().max(1)).min(max_slices);
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
        let (partial, results) = (0..n_slices * self.len())
            .into_par_iter()
            .map(|task| {
                let (inputs, outputs) = self.get(task % self.len());
                let mut values = vec![0.0; self.n_taps * inputs.len() * outputs.len()];
                let result = sum(task / self.len(), inputs, outputs, &mut values);
                (values, result)
            })
            .unzip();
        (self.add_slices(partial), results)
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
    fn len(&self) -> usize {
        self.ins.len() * self.outs.len()
    }

    /// Inputs and outputs of a block; the outputs are the inner axis.
    fn get(&self, block: usize) -> (Range<usize>, Range<usize>) {
        let (row, column) = (block / self.outs.len(), block % self.outs.len());
        (self.ins[row].clone(), self.outs[column].clone())
    }

    /// The whole, `(taps, I, O)`, out of what each slice has summed up: its blocks one after the other, `(taps, inputs,
    /// outputs)` each.
    pub(crate) fn add_slices(&self, partial: Vec<Vec<f32>>) -> Vec<f32> {
        let n_out = self.outs.last().map_or(0, |outputs| outputs.end);
        let parts = self.parts((TASK_LEN / n_out.max(1)).max(1));
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

/// `len` in ranges of nearly the same length: `max` at most but for rounding up to a multiple of `multiple`.
pub(crate) fn cut_evenly(len: usize, max: usize, multiple: usize) -> Vec<Range<usize>> {
    let width = len.div_ceil(len.div_ceil(max).max(1)).next_multiple_of(multiple);
    (0..len).step_by(width.max(1)).map(|first| first..len.min(first + width)).collect()
}
