//! The gradients of batch normalisation.

use std::sync::Arc;

use rayon::prelude::*;

use super::{
    forward::Coefficients,
    groups::{Groups, Part, Parts},
    statistics::Statistics,
};
use crate::{
    Mode,
    memory::{build, split_mut},
    simd::{Element, Family, Kernel, Lanes},
    values::{Lent, Operand, Values},
};

/// What follows the normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    Plain,
    /// ReLU.
    Relu,
}

/// What the backward pass keeps.
pub(super) struct Backward {
    pub(super) family: Family,
    pub(super) groups: Groups,
    pub(super) x: Arc<Values>,
    pub(super) tail: Tail,
    /// Kept when ReLU follows the sum with a residual: it was off where the output is 0. Without a residual, the input says
    /// as much.
    pub(super) output: Option<Arc<Values>>,
    pub(super) statistics: Statistics,
    pub(super) coefficients: Coefficients,
    pub(super) mode: Mode,
}

/// What comes out.
pub(super) struct Gradient {
    /// `C`.
    pub(super) scale: Vec<f32>,
    /// `C`.
    pub(super) shift: Vec<f32>,
    /// The gradient of the sum before ReLU, if asked for.
    pub(super) masked: Option<Values>,
    /// The gradient of the input, if asked for.
    pub(super) x: Option<Values>,
}

impl Backward {
    /// From the gradient of the output, whose memory becomes that of a result.
    pub(super) fn run(self, gradient: Values, wants_x: bool, wants_masked: bool) -> Gradient {
        let output = self.output.as_deref().map(Values::lend);
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
        mut gradient: Vec<E>,
        x: &[E],
        output: Option<&[E]>,
        wants_x: bool,
        wants_masked: bool,
    ) -> Gradient {
        let parts = self.groups.parts();
        let part_lens = parts.lens();
        let sums = self.sums(&parts, split_mut(&mut gradient, &part_lens), x, output);
        let c = self.groups.layout.c;
        let over_groups = |by_group: &[f64]| {
            let total = |channel: usize| by_group.iter().skip(channel).step_by(c).sum::<f64>() as f32;
            (0..c).map(total).collect()
        };
        let (scale, shift) = (over_groups(&sums.with_normalised), over_groups(&sums.plain));
        let spread = Spread::new(self, &sums);
        let patterns = SpreadPatterns::new(self, &parts, &spread);
        let spread_part = |part: &Part, from, to: &mut [E]| {
            let x = part.of(x);
            self.family.run(SpreadPart { from, to, x, pattern: patterns.of(part) });
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

    /// What ReLU saw is `factor * x` and this, by group and channel: so much where there is no ReLU, or where the gradient is
    /// masked already, that nothing is off.
    fn base(&self) -> Vec<f32> {
        let Coefficients { offset, .. } = &self.coefficients;
        if self.masks_by_input() { offset.clone() } else { vec![f32::INFINITY; offset.len()] }
    }

    fn masks_by_input(&self) -> bool {
        self.tail == Tail::Relu && self.output.is_none()
    }

    /// Sums the gradient; where there is an output to mask it by, that is done in place.
    fn sums<E: Element>(
        &self,
        parts: &Parts,
        gradients: Vec<&mut [E]>,
        x: &[E],
        output: Option<&[E]>,
    ) -> Sums {
        let mean = parts.expand(&self.statistics.mean.iter().map(|&mean| mean as f32).collect::<Vec<_>>());
        let (factor, base) = (parts.expand(&self.coefficients.factor), parts.expand(&self.base()));
        let partial: Vec<(Vec<f32>, Vec<f32>)> = gradients
            .into_par_iter()
            .zip(&parts.parts)
            .map(|(gradient, part)| {
                self.family.run(SumPart {
                    gradient,
                    x: part.of(x),
                    output: output.map(|output| part.of(output)),
                    factor: &factor[part.pattern],
                    base: &base[part.pattern],
                    mean: &mean[part.pattern],
                })
            })
            .collect();
        let c = self.groups.layout.c;
        let len = self.groups.splits * c;
        let mut sums = Sums { plain: vec![0.0; len], with_normalised: vec![0.0; len] };
        for (part, (plain, with_distance)) in parts.parts.iter().zip(&partial) {
            for (row, &group) in parts.patterns[part.pattern].iter().enumerate() {
                let add = |to: &mut [f64], from: &[f32]| {
                    for (to, &from) in to[group * c..][..c].iter_mut().zip(&from[row * c..][..c]) {
                        *to += f64::from(from);
                    }
                };
                add(&mut sums.plain, plain);
                add(&mut sums.with_normalised, with_distance);
            }
        }
        for (sum, inv_std) in sums.with_normalised.iter_mut().zip(&self.coefficients.inv_std) {
            *sum *= inv_std;
        }
        sums
    }
}

/// By group and channel, `(splits, C)` each.
struct Sums {
    /// Of the gradient.
    plain: Vec<f64>,
    /// Of the gradient times the normalised value.
    with_normalised: Vec<f64>,
}

/// What every value's gradient gets because it moved the statistics: `slope * (x - mean) + offset`.
struct Spread {
    /// See [`Backward::base`].
    base: Vec<f32>,
    mean: Vec<f32>,
    slope: Vec<f32>,
    offset: Vec<f32>,
}

impl Spread {
    fn new(backward: &Backward, sums: &Sums) -> Self {
        let n = backward.groups.n_values() as f64;
        // Running statistics do not move with the batch.
        let share = if backward.mode == Mode::Train { -1.0 / n } else { 0.0 };
        let Coefficients { factor, inv_std, .. } = &backward.coefficients;
        let slope = |at: usize| share * f64::from(factor[at]) * inv_std[at] * sums.with_normalised[at];
        let offset = |at: usize| share * f64::from(factor[at]) * sums.plain[at];
        Self {
            base: backward.base(),
            mean: backward.statistics.mean.iter().map(|&mean| mean as f32).collect(),
            slope: (0..factor.len()).map(|at| slope(at) as f32).collect(),
            offset: (0..factor.len()).map(|at| offset(at) as f32).collect(),
        }
    }
}

/// What a part's gradients are spread by, for each pattern.
struct SpreadPatterns {
    factor: Vec<Vec<f32>>,
    base: Vec<Vec<f32>>,
    mean: Vec<Vec<f32>>,
    slope: Vec<Vec<f32>>,
    offset: Vec<Vec<f32>>,
}

impl SpreadPatterns {
    fn new(backward: &Backward, parts: &Parts, spread: &Spread) -> Self {
        Self {
            factor: parts.expand(&backward.coefficients.factor),
            base: parts.expand(&spread.base),
            mean: parts.expand(&spread.mean),
            slope: parts.expand(&spread.slope),
            offset: parts.expand(&spread.offset),
        }
    }

    fn of(&self, part: &Part) -> SpreadPattern<'_> {
        let [factor, base, mean, slope, offset] =
            [&self.factor, &self.base, &self.mean, &self.slope, &self.offset]
                .map(|patterns| &patterns[part.pattern][..]);
        SpreadPattern { factor, base, mean, slope, offset }
    }
}

/// See [`Backward::base`] and [`Spread`].
#[derive(Clone, Copy)]
struct SpreadPattern<'a> {
    factor: &'a [f32],
    base: &'a [f32],
    mean: &'a [f32],
    slope: &'a [f32],
    offset: &'a [f32],
}

struct SumPart<'a, E> {
    gradient: &'a mut [E],
    x: &'a [E],
    output: Option<&'a [E]>,
    factor: &'a [f32],
    base: &'a [f32],
    mean: &'a [f32],
}

impl<E: Element> Kernel for SumPart<'_, E> {
    /// By row of the pattern and channel: sums of the gradient, and of the gradient times the distance from the mean.
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Output {
        let len = self.mean.len();
        let mut plain = vec![0.0_f32; len];
        let mut with_distance = vec![0.0_f32; len];
        match self.output {
            None => {
                for (gradient, x) in self.gradient.chunks(len).zip(self.x.chunks(len)) {
                    let sums = plain.iter_mut().zip(&mut with_distance);
                    let own = self.factor.iter().zip(self.base).zip(self.mean);
                    for (((gradient, x), ((factor, base), mean)), (plain, with_distance)) in
                        gradient.iter().zip(x).zip(own).zip(sums)
                    {
                        let x = x.single();
                        let masked = if x * factor + base > 0.0 { gradient.single() } else { 0.0 };
                        *plain += masked;
                        *with_distance += masked * (x - mean);
                    }
                }
            }
            Some(output) => {
                let values = self.x.chunks(len).zip(output.chunks(len));
                for (gradient, (x, output)) in self.gradient.chunks_mut(len).zip(values) {
                    let sums = plain.iter_mut().zip(&mut with_distance);
                    for ((((gradient, x), output), mean), (plain, with_distance)) in
                        gradient.iter_mut().zip(x).zip(output).zip(self.mean).zip(sums)
                    {
                        let masked = if output.single() > 0.0 { *gradient } else { E::default() };
                        *gradient = masked;
                        *plain += masked.single();
                        *with_distance += masked.single() * (x.single() - mean);
                    }
                }
            }
        }
        (plain, with_distance)
    }
}

struct SpreadPart<'a, E> {
    /// The gradient of the output, masked, or `None`: it is in `to`.
    from: Option<&'a [E]>,
    to: &'a mut [E],
    x: &'a [E],
    pattern: SpreadPattern<'a>,
}

impl<E: Element> Kernel for SpreadPart<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let SpreadPattern { factor, base, mean, slope, offset } = self.pattern;
        let len = factor.len();
        let own = || factor.iter().zip(mean);
        let spread = || slope.iter().zip(offset);
        let rows = self.to.chunks_mut(len).zip(self.x.chunks(len));
        match self.from {
            None => {
                for (to, x) in rows {
                    for ((((to, x), base), (factor, mean)), (slope, offset)) in
                        to.iter_mut().zip(x).zip(base).zip(own()).zip(spread())
                    {
                        let x = x.single();
                        let masked = if x * factor + base > 0.0 { to.single() } else { 0.0 };
                        *to = E::nearest(factor * masked + (slope * (x - mean) + offset));
                    }
                }
            }
            Some(from) => {
                for ((to, x), from) in rows.zip(from.chunks(len)) {
                    for ((((to, from), x), (factor, mean)), (slope, offset)) in
                        to.iter_mut().zip(from).zip(x).zip(own()).zip(spread())
                    {
                        *to = E::nearest(factor * from.single() + (slope * (x.single() - mean) + offset));
                    }
                }
            }
        }
    }
}
