//! Which images are normalised together, and how the work on them is cut.

use crate::{
    layout::{BLOCK, Layout},
    memory::TASK_LEN,
};

/// Group `g` has the images `n ≡ g (mod splits)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    pub(super) layout: Layout,
    pub(super) splits: usize,
}

/// Part of the values, in memory order: a repetition of rows of channels whose groups repeat as well.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// First value.
    pub(super) start: usize,
    /// Values.
    pub(super) len: usize,
    /// The group of each row of channels of the pattern, which repeats until the part ends.
    pub(super) groups_of_rows: Vec<usize>,
}

/// Values that a pattern has at least when there is one group: a loop over few channels would be mostly loop.
const MIN_PATTERN_LEN: usize = 256;

impl Groups {
    /// Values a channel and group.
    pub(super) fn n_values(self) -> usize {
        self.layout.n_rows() / self.splits
    }

    /// The parts, which do not depend on the number of threads.
    pub(super) fn parts(self) -> Vec<Part> {
        let c = self.layout.c;
        if self.splits == 1 {
            return cut(0, self.layout.len(), &one_group(c), c);
        }
        let parts = |block: usize| {
            let images = block * BLOCK..block * BLOCK + self.layout.n_in_block(block);
            let groups_of_rows: Vec<usize> = images.map(|image| image % self.splits).collect();
            cut(self.layout.block_start(block), self.layout.block_len(block), &groups_of_rows, c)
        };
        (0..self.layout.n_blocks()).flat_map(parts).collect()
    }

    /// A row of values a group, `(splits, C)`, as the pattern of a part has them.
    pub(super) fn expand(self, part: &Part, by_group: &[f32]) -> Vec<f32> {
        let c = self.layout.c;
        part.groups_of_rows.iter().flat_map(|&group| &by_group[group * c..][..c]).copied().collect()
    }
}

/// The pattern of rows that are all of one group.
pub(super) fn one_group(c: usize) -> Vec<usize> {
    vec![0; MIN_PATTERN_LEN.div_ceil(c)]
}

fn cut(start: usize, len: usize, groups_of_rows: &[usize], c: usize) -> Vec<Part> {
    let pattern_len = groups_of_rows.len() * c;
    let n_patterns = (TASK_LEN / pattern_len).max(1);
    let part_len = n_patterns * pattern_len;
    let part = |offset: usize| Part {
        start: start + offset,
        len: part_len.min(len - offset),
        groups_of_rows: groups_of_rows.to_vec(),
    };
    (0..len).step_by(part_len).map(part).collect()
}
