//! Which images are normalized together, and how the work on them is cut.

use std::ops::Range;

use rayon::prelude::*;

use crate::{
    layout::{IMAGES_IN_BLOCK, Layout},
    memory::ELEMENTWISE_LEN,
};

/// Group `g` has the images `n ≡ g (mod splits)`.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    /// Of the values.
    pub layout: Layout,
    /// How many.
    pub splits: usize,
}

/// The values cut into parts, in memory order, each of which is a repetition of rows of channels whose groups repeat as well.
///
/// Does not depend on the number of threads.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) parts: Vec<Part>,
    /// Different patterns: the group of each row of channels.
    pub(super) patterns: Vec<Vec<usize>>,
    n_channels: usize,
}

/// A part of the values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// First value.
    pub(super) start: usize,
    /// Values.
    pub(super) len: usize,
    /// Which pattern repeats until the part ends.
    pub(super) pattern: usize,
}

impl Part {
    /// Its values out of all.
    pub(super) fn of<V>(self, values: &[V]) -> &[V] {
        &values[self.start..self.start + self.len]
    }
}

/// Repetitions of a pattern that a kernel handles at once: what belongs to a channel is read and written once for all of them.
pub(super) const ROWS: usize = 4;

/// Channels that one task joins the sums of, part by part.
const CHANNELS: usize = 128;

/// Does some work for ranges of all channels.
pub(super) fn by_channels<R: Send>(
    n_channels: usize,
    work: impl Fn(Range<usize>) -> R + Sync,
) -> Vec<(Range<usize>, R)> {
    let starts = (0..n_channels).into_par_iter().step_by(CHANNELS);
    let range = |start: usize| start..n_channels.min(start + CHANNELS);
    starts.map(|start| (range(start), work(range(start)))).collect()
}

/// Puts what [`by_channels`] computed, by group and channel, in order: `(splits, C)` each.
pub(super) fn join(groups: Groups, computed: &[(Range<usize>, [Vec<f64>; 2])]) -> [Vec<f64>; 2] {
    let c = groups.layout.c;
    [0, 1].map(|which| {
        let mut joined = vec![0.0; groups.splits * c];
        for (channels, computed) in computed {
            for (to, from) in joined.chunks_exact_mut(c).zip(computed[which].chunks_exact(channels.len())) {
                to[channels.clone()].copy_from_slice(from);
            }
        }
        joined
    })
}

/// Values that a pattern has at least when there is one group: a loop over few channels would be mostly loop.
const MIN_PATTERN_LEN: usize = 256;

impl Groups {
    /// Values a channel and group.
    pub fn n_values(self) -> usize {
        self.layout.n_rows() / self.splits
    }

    /// The parts of the values.
    pub(super) fn parts(self) -> Parts {
        let (c, len) = (self.layout.c, self.layout.len());
        let mut parts = Parts { parts: Vec::new(), patterns: Vec::new(), n_channels: c };
        if self.splits == 1 {
            parts.cut(0, len, one_group(c));
            return parts;
        }
        for block in 0..self.layout.n_blocks() {
            let images = block * IMAGES_IN_BLOCK..block * IMAGES_IN_BLOCK + self.layout.n_in_block(block);
            let groups_of_rows = images.map(|image| image % self.splits).collect();
            parts.cut(self.layout.block_start(block), self.layout.block_len(block), groups_of_rows);
        }
        parts
    }
}

impl Parts {
    /// The length of each part.
    pub(super) fn lens(&self) -> Vec<usize> {
        self.parts.iter().map(|part| part.len).collect()
    }

    /// A row of values a group, `(splits, C)`, as each pattern has them.
    pub(super) fn expand(&self, by_group: &[f32]) -> Vec<Vec<f32>> {
        let c = self.n_channels;
        let expanded = |groups: &Vec<usize>| {
            groups.iter().map(|&group| &by_group[group * c..][..c]).collect::<Vec<_>>().concat()
        };
        self.patterns.iter().map(expanded).collect()
    }

    /// Adds the parts of some values, through which a pattern repeats.
    fn cut(&mut self, start: usize, len: usize, groups_of_rows: Vec<usize>) {
        let pattern_len = groups_of_rows.len() * self.n_channels;
        let part_len = (ELEMENTWISE_LEN / pattern_len).max(1) * pattern_len;
        let known = self.patterns.iter().position(|pattern| *pattern == groups_of_rows);
        let pattern = known.unwrap_or_else(|| {
            self.patterns.push(groups_of_rows);
            self.patterns.len() - 1
        });
        for offset in (0..len).step_by(part_len) {
            self.parts.push(Part { start: start + offset, len: part_len.min(len - offset), pattern });
        }
    }
}

/// The pattern of rows that are all of one group.
pub(super) fn one_group(c: usize) -> Vec<usize> {
    vec![0; MIN_PATTERN_LEN.div_ceil(c)]
}
