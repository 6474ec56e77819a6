//! Weights in the order that products read them.

use crate::{
    matrix::multiplies_pairs,
    memory::build,
    simd::{halves_of, rounded},
};

use super::super::method::Problem;

/// Weights, `[group][tap][step][row]`: a row is a channel that is written, and a step one that is read, or two in bfloat16 that
/// share a word.
pub(super) struct GroupedWeights {
    words: Vec<f32>,
    /// Channels of a group that are read.
    pub(super) n_inner: usize,
    /// Channels of a group that are written.
    pub(super) n_rows: usize,
    n_taps: usize,
    pub(super) is_in_pairs: bool,
}

impl GroupedWeights {
    /// As the output meets them.
    pub(super) fn forward(problem: &Problem, weight: &[f32]) -> Self {
        let (n_in, n_out) = of_group(problem);
        let columns = problem.to.c;
        Self::new(problem, n_in, n_out, |group, tap, input, output| {
            weight[(tap * n_in + input) * columns + group * n_out + output]
        })
    }

    /// As the gradient of the input meets them.
    pub(super) fn backward(problem: &Problem, weight: &[f32]) -> Self {
        let (n_in, n_out) = of_group(problem);
        let columns = problem.to.c;
        Self::new(problem, n_out, n_in, |group, tap, output, input| {
            weight[(tap * n_in + input) * columns + group * n_out + output]
        })
    }

    /// `weight(group, tap, channel that is read, channel that is written)`.
    fn new(
        problem: &Problem,
        n_inner: usize,
        n_rows: usize,
        weight: impl Fn(usize, usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let Problem { family, geometry, groups, precision, .. } = *problem;
        let n_taps = geometry.kernel.0 * geometry.kernel.1;
        let is_in_pairs = multiplies_pairs(family, precision, n_inner);
        let n_steps = if is_in_pairs { n_inner / 2 } else { n_inner };
        let words = build(&vec![n_taps * n_steps * n_rows; groups], |group, words: &mut [f32]| {
            for (step, words) in words.chunks_exact_mut(n_rows).enumerate() {
                let (tap, step) = (step / n_steps, step % n_steps);
                if is_in_pairs {
                    for (i, half) in halves_of(words).iter_mut().enumerate() {
                        *half = rounded(weight(group, tap, 2 * step + i % 2, i / 2));
                    }
                } else {
                    for (row, word) in words.iter_mut().enumerate() {
                        *word = weight(group, tap, step, row);
                    }
                }
            }
        });
        Self { words, n_inner, n_rows, n_taps, is_in_pairs }
    }

    /// Words of a step of a pixel: channels of a group that are read, or pairs of them.
    pub(super) fn n_steps(&self) -> usize {
        if self.is_in_pairs { self.n_inner / 2 } else { self.n_inner }
    }

    /// The weights of a group.
    pub(super) fn group(&self, group: usize) -> &[f32] {
        let len = self.n_taps * self.n_steps() * self.n_rows;
        &self.words[group * len..(group + 1) * len]
    }
}

/// Channels of a group: those of the input and those of the output.
pub(super) fn of_group(problem: &Problem) -> (usize, usize) {
    (problem.from.c / problem.groups, problem.to.c / problem.groups)
}
