//! What the ways to compute a convolution have in common.

use std::fmt::Debug;

use crate::{
    ConvGeometry, Layout, Precision,
    simd::Family,
    values::{Summed, Values},
};

/// What is computed, in whichever way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Problem {
    pub(super) family: Family,
    pub(super) geometry: ConvGeometry,
    /// How the input lies.
    pub(super) from: Layout,
    /// How the output lies.
    pub(super) to: Layout,
    /// Groups of channels, each convolved by itself.
    pub(super) groups: usize,
    /// How values are kept.
    pub(super) precision: Precision,
}

/// A way to compute a convolution and its gradients. Weights are `(KH, KW, I, O)`; in groups, `I` are the inputs of one.
pub(super) trait Method: Debug + Sync {
    /// The output for the input `x`, and what comes with it.
    fn forward(&self, problem: &Problem, weight: &[f32], x: &Values, with: With<'_>) -> Summed;

    /// The gradient of the input, added to what was there `before`.
    fn data(&self, problem: &Problem, weight: &[f32], gradient: &Values, before: Option<Values>) -> Values;

    /// The gradient of the weights.
    fn weights(&self, problem: &Problem, x: &Values, gradient: &Values) -> Vec<f32>;
}

/// What comes with an output.
#[derive(Clone, Copy)]
pub(super) enum With<'a> {
    /// Nothing.
    Nothing,
    /// The sums of its channels.
    Sums,
    /// A bias, which is added to it.
    Bias(&'a [f32]),
}

impl<'a> With<'a> {
    /// Whether sums are asked for.
    pub(super) fn is_summed(self) -> bool {
        matches!(self, Self::Sums)
    }

    /// The bias, if there is one.
    pub(super) fn bias(self) -> Option<&'a [f32]> {
        match self {
            Self::Bias(bias) => Some(bias),
            Self::Nothing | Self::Sums => None,
        }
    }
}

/// What was there with something added, or the first of its kind.
pub(super) fn multiply_onto(
    before: Option<Values>,
    add: impl FnOnce(&mut Values),
    multiply: impl FnOnce() -> Values,
) -> Values {
    let Some(mut sum) = before else { return multiply() };
    add(&mut sum);
    sum
}

/// Adds a bias to values that are there.
pub(super) fn add_bias(to: Layout, values: &mut Values, bias: &[f32]) {
    let (tasks, lens) = to.tasks();
    values.change(&lens, tasks, |_, _, part| {
        for row in part.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
            }
        }
    });
}
