//! The gradients of batch normalization.

use std::convert::Infallible;

use rayon::prelude::*;

use super::{
    forward::Coefficients,
    groups::{Groups, Part, Parts},
    mask::{ByNormalized, ByOutput, Everywhere, Mask},
    spread::{Spread, SpreadPart},
    statistics::Statistics,
    sums::{GradientSums, Pattern, sums},
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
    /// What it was normalized by, which moves with the values that it is of.
    pub statistics: &'a Statistics,
    /// See [`Coefficients`].
    pub coefficients: &'a Coefficients,
}

/// Which gradients are computed beside those of scale and shift.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// That of the input.
    pub x: bool,
    /// That of the sum with a residual, before ReLU.
    pub masked: bool,
}

/// What comes out.
#[derive(Debug)]
pub struct Gradient {
    /// `C`, from these values alone.
    pub scale: Vec<f32>,
    /// `C`, from these values alone.
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
    pub fn run(self, gradient: Values, wanted: Wanted) -> Gradient {
        match self.run_among(gradient, wanted, Ok::<_, Infallible>) {
            Ok(gradient) => gradient,
            Err(never) => match never {},
        }
    }

    /// [`run`](Self::run) where other values have been normalized together with these: `of_all` adds the sums of the others to
    /// those of these values. It is asked only if the gradient of the input is wanted, and if the statistics move.
    ///
    /// # Errors
    ///
    /// Those of `of_all`.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run), and if there are fewer sums than channels.
    pub fn run_among<Error>(
        self,
        gradient: Values,
        wanted: Wanted,
        of_all: impl FnOnce(GradientSums) -> Result<GradientSums, Error>,
    ) -> Result<Gradient, Error> {
        let output = self.output.map(Values::lend);
        match (gradient, self.x.lend(), output) {
            (Values::Bf16(gradient), Lent::Bf16(x), None) => self.run_on(gradient, x, None, wanted, of_all),
            (Values::Bf16(gradient), Lent::Bf16(x), Some(Lent::Bf16(output))) => {
                self.run_on(gradient, x, Some(output), wanted, of_all)
            }
            (gradient, x, output) => {
                let output = output.map(Lent::whole);
                self.run_on(gradient.into_whole(), &x.whole(), output.as_deref(), wanted, of_all)
            }
        }
    }

    fn run_on<E: Operand, Error>(
        &self,
        gradient: Vec<E>,
        x: &[E],
        output: Option<&[E]>,
        wanted: Wanted,
        of_all: impl FnOnce(GradientSums) -> Result<GradientSums, Error>,
    ) -> Result<Gradient, Error> {
        match (self.tail, output) {
            (Tail::Plain, _) => self.run_masked(gradient, x, Everywhere, wanted, of_all),
            (Tail::Relu, None) => self.run_masked(gradient, x, ByNormalized, wanted, of_all),
            (Tail::Relu, Some(output)) => self.run_masked(gradient, x, ByOutput(output), wanted, of_all),
        }
    }

    fn run_masked<E: Operand, M: Mask<E>, Error>(
        &self,
        mut gradient: Vec<E>,
        x: &[E],
        mask: M,
        wanted: Wanted,
        of_all: impl FnOnce(GradientSums) -> Result<GradientSums, Error>,
    ) -> Result<Gradient, Error> {
        assert!(
            !wanted.masked || self.tail == Tail::Plain || M::IS_KEPT,
            "where ReLU follows the sum with a residual, its output says where it was on"
        );
        let parts = self.groups.parts();
        let part_lens = parts.lens();
        let patterns = Patterns::new(self, &parts);
        let pattern_of = |pattern: usize| patterns.get(pattern);
        let gradients = split_mut(&mut gradient, &part_lens);
        let mut sums = sums(self.family, self.groups, &parts, pattern_of, gradients, x, mask);
        let c = self.groups.layout.c;
        let over_groups = |by_group: &[f64]| {
            let total = |channel: usize| by_group.iter().skip(channel).step_by(c).sum::<f64>() as f32;
            (0..c).map(total).collect()
        };
        let (scale, shift) = (over_groups(&self.with_normalized(&sums)), over_groups(&sums.plain));
        if wanted.x && self.statistics.n_values.is_some() {
            sums = of_all(sums)?;
        }
        let moves = Moves::new(self, &parts, &sums);
        let spread_part = |part: &Part, from, to: &mut [E]| {
            let mask = mask.left().from(part.start);
            let spread = moves.get(part.pattern, patterns.get(part.pattern));
            self.family.run(SpreadPart { from, to, x: part.of(x), mask, spread });
        };
        let by_x = match (wanted.x, wanted.masked) {
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
        let masked = wanted.masked.then(|| E::values(gradient));
        Ok(Gradient { scale, shift, masked, x: by_x.map(E::values) })
    }

    /// The sums of the gradient times the normalized value.
    fn with_normalized(&self, sums: &GradientSums) -> Vec<f64> {
        let sums = sums.with_distance.iter().zip(&self.coefficients.inv_std);
        sums.map(|(sum, inv_std)| sum * inv_std).collect()
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
    fn new(backward: &Backward<'_>, parts: &Parts, sums: &GradientSums) -> Self {
        let (plain, with_normalized) = (&sums.plain, backward.with_normalized(sums));
        // Running statistics do not move with the batch.
        let share = backward.statistics.n_values.map_or(0.0, |n| -1.0 / n);
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
