//! The gradients of batch normalization.

use rayon::prelude::*;

use super::{
    forward::Coefficients,
    groups::{Groups, Part, Parts},
    mask::{ByNormalized, ByOutput, Everywhere, Mask},
    spread::{Spread, SpreadPart},
    statistics::Statistics,
    sums::{Pattern, sums},
};
use crate::{
    memory::{build, split_mut},
    simd::Family,
    values::{Lent, Operand, Values},
};

/// What follows the normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Plain,
    /// ReLU.
    Relu,
}

/// What the backward pass reads.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// The instructions to use.
    pub family: Family,
    /// What is normalized together.
    pub groups: Groups,
    /// What was normalized.
    pub x: &'a Values,
    /// What followed.
    pub tail: Tail,
    /// Kept when ReLU follows the sum with a residual: it was off where the output is 0. Without a residual, the input says
    /// as much.
    pub output: Option<&'a Values>,
    /// What it was normalized by.
    pub statistics: &'a Statistics,
    /// See [`Coefficients`].
    pub coefficients: &'a Coefficients,
    /// Whether the statistics are those of the batch, and move with it.
    pub is_of_batch: bool,
}

/// What comes out.
#[derive(Debug)]
pub struct Gradient {
    /// `C`.
    pub scale: Vec<f32>,
    /// `C`.
    pub shift: Vec<f32>,
    /// The gradient of the sum with a residual before ReLU, if asked for.
    pub masked: Option<Values>,
    /// The gradient of the input, if asked for.
    pub x: Option<Values>,
}

impl Backward<'_> {
    /// From the gradient of the output, whose memory becomes that of a result.
    ///
    /// # Panics
    ///
    /// When the gradient of the sum with a residual is asked for, ReLU follows, and there is no output.
    pub fn run(self, gradient: Values, wants_x: bool, wants_masked: bool) -> Gradient {
        let output = self.output.map(Values::lend);
        match (gradient, self.x.lend(), output) {
            (Values::Bf16(gradient), Lent::Bf16(x), None) => {
                self.run_on(gradient, x, None, wants_x, wants_masked)
            }
            (Values::Bf16(gradient), Lent::Bf16(x), Some(Lent::Bf16(output))) => {
                self.run_on(gradient, x, Some(output), wants_x, wants_masked)
            }
            (gradient, x, output) => {
                let output = output.map(Lent::whole);
                self.run_on(gradient.into_whole(), &x.whole(), output.as_deref(), wants_x, wants_masked)
            }
        }
    }

    fn run_on<E: Operand>(
        &self,
        gradient: Vec<E>,
        x: &[E],
        output: Option<&[E]>,
        wants_x: bool,
        wants_masked: bool,
    ) -> Gradient {
        match (self.tail, output) {
            (Tail::Plain, _) => self.run_masked(gradient, x, Everywhere, wants_x, wants_masked),
            (Tail::Relu, None) => self.run_masked(gradient, x, ByNormalized, wants_x, wants_masked),
            (Tail::Relu, Some(output)) => {
                self.run_masked(gradient, x, ByOutput(output), wants_x, wants_masked)
            }
        }
    }

    fn run_masked<E: Operand, M: Mask<E>>(
        &self,
        mut gradient: Vec<E>,
        x: &[E],
        mask: M,
        wants_x: bool,
        wants_masked: bool,
    ) -> Gradient {
        assert!(
            !wants_masked || self.tail == Tail::Plain || M::IS_KEPT,
            "where ReLU follows the sum with a residual, its output says where it was on"
        );
        let parts = self.groups.parts();
        let part_lens = parts.lens();
        let patterns = Patterns::new(self, &parts);
        let pattern_of = |pattern: usize| patterns.get(pattern);
        let gradients = split_mut(&mut gradient, &part_lens);
        let sums = sums(self.family, self.groups, &parts, pattern_of, gradients, x, mask);
        let normalized = sums.with_distance.iter().zip(&self.coefficients.inv_std);
        let with_normalized: Vec<f64> = normalized.map(|(sum, inv_std)| sum * inv_std).collect();
        let c = self.groups.layout.c;
        let over_groups = |by_group: &[f64]| {
            let total = |channel: usize| by_group.iter().skip(channel).step_by(c).sum::<f64>() as f32;
            (0..c).map(total).collect()
        };
        let (scale, shift) = (over_groups(&with_normalized), over_groups(&sums.plain));
        let moves = Moves::new(self, &parts, &sums.plain, &with_normalized);
        let spread_part = |part: &Part, from, to: &mut [E]| {
            let mask = mask.left().from(part.start);
            let spread = moves.get(part.pattern, patterns.get(part.pattern));
            self.family.run(SpreadPart { from, to, x: part.of(x), mask, spread });
        };
        let by_x = match (wants_x, wants_masked) {
            (false, _) => None,
            (true, true) => Some(build(&part_lens, |part_idx, out| {
                let part = &parts.parts[part_idx];
                spread_part(part, Some(part.of(&gradient)), out);
            })),
            (true, false) => {
                let gradients = split_mut(&mut gradient, &part_lens);
                gradients.into_par_iter().zip(&parts.parts).for_each(|(gradient, part)| {
                    spread_part(part, None, gradient);
                });
                Some(std::mem::take(&mut gradient))
            }
        };
        let masked = wants_masked.then(|| E::values(gradient));
        Gradient { scale, shift, masked, x: by_x.map(E::values) }
    }
}

/// What normalizes a value, as each pattern of the parts has it.
struct Patterns {
    factor: Vec<Vec<f32>>,
    offset: Vec<Vec<f32>>,
    mean: Vec<Vec<f32>>,
}

impl Patterns {
    fn new(backward: &Backward<'_>, parts: &Parts) -> Self {
        let mean: Vec<f32> = backward.statistics.mean.iter().map(|&mean| mean as f32).collect();
        let Coefficients { factor, offset, .. } = backward.coefficients;
        let [factor, offset, mean] = [factor, offset, &mean].map(|by_group| parts.expand(by_group));
        Self { factor, offset, mean }
    }

    fn get(&self, pattern: usize) -> Pattern<'_> {
        let [factor, offset, mean] = [&self.factor, &self.offset, &self.mean].map(|of| &of[pattern][..]);
        Pattern { factor, offset, mean }
    }
}

/// By how much the statistics move with a value, as each pattern of the parts has it: see [`Spread`].
struct Moves {
    slope: Vec<Vec<f32>>,
    offset: Vec<Vec<f32>>,
}

impl Moves {
    /// From the sums of the gradient, and of the gradient times the normalized value.
    fn new(backward: &Backward<'_>, parts: &Parts, plain: &[f64], with_normalized: &[f64]) -> Self {
        let n = backward.groups.n_values() as f64;
        // Running statistics do not move with the batch.
        let share = if backward.is_of_batch { -1.0 / n } else { 0.0 };
        let Coefficients { factor, inv_std, .. } = backward.coefficients;
        let slope = |at: usize| share * f64::from(factor[at]) * inv_std[at] * with_normalized[at];
        let offset = |at: usize| share * f64::from(factor[at]) * plain[at];
        let slope: Vec<f32> = (0..factor.len()).map(|at| slope(at) as f32).collect();
        let offset: Vec<f32> = (0..factor.len()).map(|at| offset(at) as f32).collect();
        Self { slope: parts.expand(&slope), offset: parts.expand(&offset) }
    }

    fn get<'a>(&'a self, pattern_idx: usize, pattern: Pattern<'a>) -> Spread<'a> {
        Spread { pattern, slope: &self.slope[pattern_idx], offset: &self.offset[pattern_idx] }
    }
}
