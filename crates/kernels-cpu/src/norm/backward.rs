//! The gradients of batch normalization.

use rayon::prelude::*;

use super::{
    forward::Coefficients,
    groups::{Groups, Part, Parts},
    statistics::Statistics,
};
use crate::{
    memory::{build, split_mut},
    simd::{Element, Family, Kernel, Lanes, for_registers, read_some, where_positive, write_some},
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
    /// The gradient of the sum before ReLU, if asked for.
    pub masked: Option<Values>,
    /// The gradient of the input, if asked for.
    pub x: Option<Values>,
}

impl Backward<'_> {
    /// From the gradient of the output, whose memory becomes that of a result.
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
        mut gradient: Vec<E>,
        x: &[E],
        output: Option<&[E]>,
        wants_x: bool,
        wants_masked: bool,
    ) -> Gradient {
        let parts = self.groups.parts();
        let part_lens = parts.lens();
        let patterns = Patterns::new(self, &parts);
        let sums = self.sums(&parts, &patterns, split_mut(&mut gradient, &part_lens), x, output);
        let c = self.groups.layout.c;
        let over_groups = |by_group: &[f64]| {
            let total = |channel: usize| by_group.iter().skip(channel).step_by(c).sum::<f64>() as f32;
            (0..c).map(total).collect()
        };
        let (scale, shift) = (over_groups(&sums.with_normalized), over_groups(&sums.plain));
        let spread = Spread::new(self, &parts, &sums);
        let spread_part = |part: &Part, from, to: &mut [E]| {
            self.family.run(SpreadPart {
                from,
                to,
                x: part.of(x),
                pattern: patterns.of(part),
                slope: &spread.slope[part.pattern],
                offset: &spread.offset[part.pattern],
            });
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
        let Coefficients { offset, .. } = self.coefficients;
        if self.masks_by_input() { offset.clone() } else { vec![f32::INFINITY; offset.len()] }
    }

    fn masks_by_input(&self) -> bool {
        self.tail == Tail::Relu && self.output.is_none()
    }

    /// Sums the gradient; where there is an output to mask it by, that is done in place.
    fn sums<E: Element>(
        &self,
        parts: &Parts,
        patterns: &Patterns,
        gradients: Vec<&mut [E]>,
        x: &[E],
        output: Option<&[E]>,
    ) -> Sums {
        let partial: Vec<(Vec<f32>, Vec<f32>)> = gradients
            .into_par_iter()
            .zip(&parts.parts)
            .map(|(gradient, part)| {
                self.family.run(SumPart {
                    gradient,
                    x: part.of(x),
                    output: output.map(|output| part.of(output)),
                    pattern: patterns.of(part),
                })
            })
            .collect();
        let c = self.groups.layout.c;
        let len = self.groups.splits * c;
        let mut sums = Sums { plain: vec![0.0; len], with_normalized: vec![0.0; len] };
        for (part, (plain, with_distance)) in parts.parts.iter().zip(&partial) {
            for (row, &group) in parts.patterns[part.pattern].iter().enumerate() {
                let add = |to: &mut [f64], from: &[f32]| {
                    for (to, &from) in to[group * c..][..c].iter_mut().zip(&from[row * c..][..c]) {
                        *to += f64::from(from);
                    }
                };
                add(&mut sums.plain, plain);
                add(&mut sums.with_normalized, with_distance);
            }
        }
        for (sum, inv_std) in sums.with_normalized.iter_mut().zip(&self.coefficients.inv_std) {
            *sum *= inv_std;
        }
        sums
    }
}

/// By group and channel, `(splits, C)` each.
struct Sums {
    /// Of the gradient.
    plain: Vec<f64>,
    /// Of the gradient times the normalized value.
    with_normalized: Vec<f64>,
}

/// What a value's gradient depends on, as each pattern of the parts has it.
struct Patterns {
    factor: Vec<Vec<f32>>,
    base: Vec<Vec<f32>>,
    mean: Vec<Vec<f32>>,
}

impl Patterns {
    fn new(backward: &Backward<'_>, parts: &Parts) -> Self {
        let mean: Vec<f32> = backward.statistics.mean.iter().map(|&mean| mean as f32).collect();
        Self {
            factor: parts.expand(&backward.coefficients.factor),
            base: parts.expand(&backward.base()),
            mean: parts.expand(&mean),
        }
    }

    fn of(&self, part: &Part) -> Pattern<'_> {
        let [factor, base, mean] =
            [&self.factor, &self.base, &self.mean].map(|patterns| &patterns[part.pattern][..]);
        Pattern { factor, base, mean }
    }
}

/// Of one part.
#[derive(Clone, Copy)]
struct Pattern<'a> {
    factor: &'a [f32],
    /// See [`Backward::base`].
    base: &'a [f32],
    mean: &'a [f32],
}

/// What every value's gradient gets because it moved the statistics: `slope * (x - mean) + offset`, as each pattern of the
/// parts has it.
struct Spread {
    slope: Vec<Vec<f32>>,
    offset: Vec<Vec<f32>>,
}

impl Spread {
    fn new(backward: &Backward<'_>, parts: &Parts, sums: &Sums) -> Self {
        let n = backward.groups.n_values() as f64;
        // Running statistics do not move with the batch.
        let share = if backward.is_of_batch { -1.0 / n } else { 0.0 };
        let Coefficients { factor, inv_std, .. } = backward.coefficients;
        let slope = |at: usize| share * f64::from(factor[at]) * inv_std[at] * sums.with_normalized[at];
        let offset = |at: usize| share * f64::from(factor[at]) * sums.plain[at];
        let slope: Vec<f32> = (0..factor.len()).map(|at| slope(at) as f32).collect();
        let offset: Vec<f32> = (0..factor.len()).map(|at| offset(at) as f32).collect();
        Self { slope: parts.expand(&slope), offset: parts.expand(&offset) }
    }
}

struct SumPart<'a, E> {
    gradient: &'a mut [E],
    x: &'a [E],
    output: Option<&'a [E]>,
    pattern: Pattern<'a>,
}

impl<E: Element> Kernel for SumPart<'_, E> {
    /// By row of the pattern and channel: sums of the gradient, and of the gradient times the distance from the mean.
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Output {
        let Self { gradient, x, output, pattern } = self;
        let len = pattern.mean.len();
        let mut plain = vec![0.0_f32; len];
        let mut with_distance = vec![0.0_f32; len];
        for (row, (gradient, x)) in gradient.chunks_mut(len).zip(x.chunks(len)).enumerate() {
            match output {
                None => {
                    for_registers!(L, x.len(), |at, n| {
                        let x = read_some::<L, E>(x, at, n, 0.0);
                        let masked = masked_by_input::<L, E>(gradient, x, pattern, at, n);
                        let distance = L::sub(x, read_some::<L, _>(pattern.mean, at, n, 0.0));
                        add_some::<L>(&mut plain, masked, at, n);
                        add_some::<L>(&mut with_distance, L::mul(masked, distance), at, n);
                    });
                }
                Some(output) => {
                    let output = &output[row * len..];
                    for_registers!(L, x.len(), |at, n| {
                        let value = read_some::<L, E>(gradient, at, n, 0.0);
                        let masked = where_positive::<L>(read_some::<L, E>(output, at, n, 0.0), value);
                        write_some::<L, E>(gradient, at, n, masked);
                        let x = read_some::<L, E>(x, at, n, 0.0);
                        let distance = L::sub(x, read_some::<L, _>(pattern.mean, at, n, 0.0));
                        add_some::<L>(&mut plain, masked, at, n);
                        add_some::<L>(&mut with_distance, L::mul(masked, distance), at, n);
                    });
                }
            }
        }
        (plain, with_distance)
    }
}

/// The gradient where ReLU was on: where `x * factor + base` is above 0.
#[inline(always)]
fn masked_by_input<L: Lanes, E: Element>(
    gradient: &[E],
    x: L::V,
    pattern: Pattern<'_>,
    at: usize,
    n: usize,
) -> L::V {
    let product = L::mul(x, read_some::<L, _>(pattern.factor, at, n, 0.0));
    let test = L::add(product, read_some::<L, _>(pattern.base, at, n, 0.0));
    where_positive::<L>(test, read_some::<L, E>(gradient, at, n, 0.0))
}

#[inline(always)]
fn add_some<L: Lanes>(sums: &mut [f32], value: L::V, at: usize, n: usize) {
    write_some::<L, _>(sums, at, n, L::add(read_some::<L, _>(sums, at, n, 0.0), value));
}

struct SpreadPart<'a, E> {
    /// The gradient of the output, masked, or `None`: it is in `to`.
    from: Option<&'a [E]>,
    to: &'a mut [E],
    x: &'a [E],
    pattern: Pattern<'a>,
    /// See [`Spread`].
    slope: &'a [f32],
    offset: &'a [f32],
}

impl<E: Element> Kernel for SpreadPart<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { from, to, x, pattern, slope, offset } = self;
        let len = pattern.factor.len();
        for (row, (to, x)) in to.chunks_mut(len).zip(x.chunks(len)).enumerate() {
            match from {
                None => {
                    for_registers!(L, x.len(), |at, n| {
                        let x = read_some::<L, E>(x, at, n, 0.0);
                        let masked = masked_by_input::<L, E>(to, x, pattern, at, n);
                        write_some::<L, E>(
                            to,
                            at,
                            n,
                            spread::<L>(pattern, (slope, offset), (masked, x), at, n),
                        );
                    });
                }
                Some(from) => {
                    let from = &from[row * len..];
                    for_registers!(L, x.len(), |at, n| {
                        let x = read_some::<L, E>(x, at, n, 0.0);
                        let gradient = read_some::<L, E>(from, at, n, 0.0);
                        write_some::<L, E>(
                            to,
                            at,
                            n,
                            spread::<L>(pattern, (slope, offset), (gradient, x), at, n),
                        );
                    });
                }
            }
        }
    }
}

/// `factor * gradient + (slope * (x - mean) + offset)`.
#[inline(always)]
fn spread<L: Lanes>(
    pattern: Pattern<'_>,
    (slope, offset): (&[f32], &[f32]),
    (gradient, x): (L::V, L::V),
    at: usize,
    n: usize,
) -> L::V {
    let distance = L::sub(x, read_some::<L, _>(pattern.mean, at, n, 0.0));
    let by_distance = L::mul(read_some::<L, _>(slope, at, n, 0.0), distance);
    let by_statistics = L::add(by_distance, read_some::<L, _>(offset, at, n, 0.0));
    L::add(L::mul(read_some::<L, _>(pattern.factor, at, n, 0.0), gradient), by_statistics)
}
