//! The gradients of batch normalisation.

use std::sync::Arc;

use rayon::prelude::*;

use super::{
    forward::Coefficients,
    groups::{Groups, Part},
    statistics::Statistics,
};
use crate::{
    Mode,
    memory::{build, split_mut},
    simd::{Element, Family, Kernel, Lanes},
    values::{Lent, Values},
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
    /// Kept when ReLU follows: it was off where the output is 0.
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
    pub(super) masked: Option<Vec<f32>>,
    /// The gradient of the input, if asked for.
    pub(super) x: Option<Vec<f32>>,
}

impl Backward {
    /// From the gradient of the output, whose memory becomes that of a result.
    pub(super) fn run(self, mut gradient: Vec<f32>, wants_x: bool, wants_masked: bool) -> Gradient {
        let parts = self.groups.parts();
        let sums = self.sums(&parts, &mut gradient);
        let c = self.groups.layout.c;
        let over_groups = |by_group: &[f64]| {
            let total = |channel: usize| by_group.iter().skip(channel).step_by(c).sum::<f64>() as f32;
            (0..c).map(total).collect()
        };
        let (scale, shift) = (over_groups(&sums.with_normalised), over_groups(&sums.plain));
        let spread = Spread::new(&self, &sums);
        let x = match (wants_x, wants_masked) {
            (false, _) => None,
            (true, true) => Some(self.spread_beside(&parts, &spread, &gradient)),
            (true, false) => {
                self.spread(&parts, &spread, &mut gradient);
                Some(std::mem::take(&mut gradient))
            }
        };
        Gradient { scale, shift, masked: wants_masked.then_some(gradient), x }
    }

    /// Masks the gradient in place, and sums it.
    fn sums(&self, parts: &[Part], gradient: &mut [f32]) -> Sums {
        let part_lens: Vec<usize> = parts.iter().map(|part| part.len).collect();
        let mean: Vec<f32> = self.statistics.mean.iter().map(|&mean| mean as f32).collect();
        let partial: Vec<(Vec<f32>, Vec<f32>)> =
            split_mut(gradient, &part_lens)
                .into_par_iter()
                .zip(parts)
                .map(|(gradient, part)| {
                    let range = part.start..part.start + part.len;
                    let mean = self.groups.expand(part, &mean);
                    let x = self.x.lend().part(range.clone());
                    let output = self.output.as_ref().map(|output| output.lend().part(range));
                    let family = self.family;
                    match (x, output) {
                        (Lent::F32(x), None) => family.run(SumPart { gradient, x, output: None, mean }),
                        (Lent::Bf16(x), None) => family.run(SumPart { gradient, x, output: None, mean }),
                        (Lent::F32(x), Some(output)) => output
                            .with(|output| family.run(SumPart { gradient, x, output: Some(output), mean })),
                        (Lent::Bf16(x), Some(output)) => output
                            .with(|output| family.run(SumPart { gradient, x, output: Some(output), mean })),
                    }
                })
                .collect();
        let c = self.groups.layout.c;
        let len = self.groups.splits * c;
        let mut sums = Sums { plain: vec![0.0; len], with_normalised: vec![0.0; len] };
        for (part, (plain, with_distance)) in parts.iter().zip(&partial) {
            for (row, &group) in part.groups_of_rows.iter().enumerate() {
                for channel in 0..c {
                    sums.plain[group * c + channel] += f64::from(plain[row * c + channel]);
                    sums.with_normalised[group * c + channel] += f64::from(with_distance[row * c + channel]);
                }
            }
        }
        for (sum, inv_std) in sums.with_normalised.iter_mut().zip(&self.coefficients.inv_std) {
            *sum *= inv_std;
        }
        sums
    }

    fn spread(&self, parts: &[Part], spread: &Spread, gradient: &mut [f32]) {
        let part_lens: Vec<usize> = parts.iter().map(|part| part.len).collect();
        split_mut(gradient, &part_lens)
            .into_par_iter()
            .zip(parts)
            .for_each(|(gradient, part)| self.spread_part(part, spread, None, gradient));
    }

    /// [`spread`](Self::spread) into a buffer of its own.
    fn spread_beside(&self, parts: &[Part], spread: &Spread, gradient: &[f32]) -> Vec<f32> {
        let part_lens: Vec<usize> = parts.iter().map(|part| part.len).collect();
        build(&part_lens, |part_idx, out| {
            let part = &parts[part_idx];
            self.spread_part(part, spread, Some(&gradient[part.start..][..part.len]), out);
        })
    }

    /// The gradient of one part's input, from the gradient of its output: `from`, or what is in `to`.
    fn spread_part(&self, part: &Part, spread: &Spread, from: Option<&[f32]>, to: &mut [f32]) {
        let factor = self.groups.expand(part, &self.coefficients.factor);
        let mean = self.groups.expand(part, &spread.mean);
        let slope = self.groups.expand(part, &spread.slope);
        let offset = self.groups.expand(part, &spread.offset);
        match self.x.lend().part(part.start..part.start + part.len) {
            Lent::F32(x) => self.family.run(SpreadPart { from, to, x, factor, mean, slope, offset }),
            Lent::Bf16(x) => self.family.run(SpreadPart { from, to, x, factor, mean, slope, offset }),
        }
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
            mean: backward.statistics.mean.iter().map(|&mean| mean as f32).collect(),
            slope: (0..factor.len()).map(|at| slope(at) as f32).collect(),
            offset: (0..factor.len()).map(|at| offset(at) as f32).collect(),
        }
    }
}

struct SumPart<'a, E> {
    gradient: &'a mut [f32],
    x: &'a [E],
    output: Option<&'a [E]>,
    mean: Vec<f32>,
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
                    for (((gradient, x), mean), (plain, with_distance)) in
                        gradient.iter().zip(x).zip(&self.mean).zip(sums)
                    {
                        *plain += gradient;
                        *with_distance += gradient * (x.single() - mean);
                    }
                }
            }
            Some(output) => {
                let values = self.x.chunks(len).zip(output.chunks(len));
                for (gradient, (x, output)) in self.gradient.chunks_mut(len).zip(values) {
                    let sums = plain.iter_mut().zip(&mut with_distance);
                    for ((((gradient, x), output), mean), (plain, with_distance)) in
                        gradient.iter_mut().zip(x).zip(output).zip(&self.mean).zip(sums)
                    {
                        let masked = if output.single() > 0.0 { *gradient } else { 0.0 };
                        *gradient = masked;
                        *plain += masked;
                        *with_distance += masked * (x.single() - mean);
                    }
                }
            }
        }
        (plain, with_distance)
    }
}

struct SpreadPart<'a, E> {
    /// The gradient of the output, or `None`: it is in `to`.
    from: Option<&'a [f32]>,
    to: &'a mut [f32],
    x: &'a [E],
    factor: Vec<f32>,
    mean: Vec<f32>,
    slope: Vec<f32>,
    offset: Vec<f32>,
}

impl<E: Element> Kernel for SpreadPart<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let len = self.factor.len();
        let own = || self.factor.iter().zip(&self.mean);
        let spread = || self.slope.iter().zip(&self.offset);
        let rows = self.to.chunks_mut(len).zip(self.x.chunks(len));
        match self.from {
            None => {
                for (to, x) in rows {
                    for (((to, x), (factor, mean)), (slope, offset)) in
                        to.iter_mut().zip(x).zip(own()).zip(spread())
                    {
                        *to = factor * *to + (slope * (x.single() - mean) + offset);
                    }
                }
            }
            Some(from) => {
                for ((to, x), from) in rows.zip(from.chunks(len)) {
                    for ((((to, from), x), (factor, mean)), (slope, offset)) in
                        to.iter_mut().zip(from).zip(x).zip(own()).zip(spread())
                    {
                        *to = factor * from + (slope * (x.single() - mean) + offset);
                    }
                }
            }
        }
    }
}
