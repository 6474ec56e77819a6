//! Sums of slices of the work, which add up in the order of the slices.

use std::ops::Range;

use crate::memory::{TASK_LEN, build_beside};

/// A matrix of `n_taps` by `n_in` rows and `n_out` columns, cut into blocks: all taps of some inputs by some outputs.
pub(crate) struct Blocks {
    pub(crate) n_taps: usize,
    /// Inputs of each row of blocks.
    pub(crate) ins: Vec<Range<usize>>,
    /// Outputs of each column of blocks.
    pub(crate) outs: Vec<Range<usize>>,
}

impl Blocks {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ins.len() * self.outs.len()
    }

    /// Inputs and outputs of a block; the outputs are the inner axis.
    pub(crate) fn get(&self, block: usize) -> (Range<usize>, Range<usize>) {
        let (row, column) = (block / self.outs.len(), block % self.outs.len());
        (self.ins[row].clone(), self.outs[column].clone())
    }

    /// The whole, `(taps, I, O)`, out of what each slice has summed up: its blocks one after the other, `(taps, inputs,
    /// outputs)` each.
    pub(crate) fn add_slices(&self, mut partial: Vec<Vec<f32>>) -> Vec<f32> {
        if partial.len() == 1 {
            return partial.remove(0);
        }
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
