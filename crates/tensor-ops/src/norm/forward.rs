//! The normalised values.

use super::{BatchNorm, backward::Tail, groups::Groups, statistics::Statistics};
use crate::{
    simd::{Family, Kernel, Lanes},
    values::Values,
};

/// `y = factor * x + offset`, by group and channel: `(splits, C)` each.
pub(super) struct Coefficients {
    pub(super) factor: Vec<f32>,
    pub(super) offset: Vec<f32>,
    /// `1 / sqrt(var + eps)`.
    pub(super) inv_std: Vec<f64>,
}

impl Coefficients {
    pub(super) fn new(statistics: &Statistics, norm: &BatchNorm) -> Self {
        let c = norm.n_channels();
        let one_of = |parameter: &Option<crate::Parameter>, at: usize, default: f64| {
            parameter.as_ref().map_or(default, |parameter| f64::from(parameter.values[at % c]))
        };
        let inv_std: Vec<f64> = statistics.var.iter().map(|var| 1.0 / (var + norm.eps).sqrt()).collect();
        let factor = |at: usize| one_of(&norm.scale, at, 1.0) * inv_std[at];
        let offset = |at: usize| one_of(&norm.shift, at, 0.0) - statistics.mean[at] * factor(at);
        Self {
            factor: (0..inv_std.len()).map(|at| factor(at) as f32).collect(),
            offset: (0..inv_std.len()).map(|at| offset(at) as f32).collect(),
            inv_std,
        }
    }
}

/// `tail(factor * x + offset (+ residual))`.
pub(super) fn apply(
    family: Family,
    groups: Groups,
    coefficients: &Coefficients,
    x: &Values,
    residual: Option<&Values>,
    tail: Tail,
) -> Values {
    let parts = groups.parts();
    let part_lens: Vec<usize> = parts.iter().map(|part| part.len).collect();
    Values::build(x.precision(), &part_lens, |part_idx, out| {
        let part = &parts[part_idx];
        let range = part.start..part.start + part.len;
        let mut apply = |x: &[f32], residual: Option<&[f32]>| {
            family.run(ApplyPart {
                factor: groups.expand(part, &coefficients.factor),
                offset: groups.expand(part, &coefficients.offset),
                x,
                residual,
                out,
                floor: if tail == Tail::Relu { 0.0 } else { f32::NEG_INFINITY },
            });
        };
        x.with_part(range.clone(), |x| match residual {
            None => apply(x, None),
            Some(residual) => residual.with_part(range, |residual| apply(x, Some(residual))),
        });
    })
}

struct ApplyPart<'a> {
    factor: Vec<f32>,
    offset: Vec<f32>,
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    out: &'a mut [f32],
    /// Below which nothing comes out: 0 is ReLU.
    floor: f32,
}

impl Kernel for ApplyPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let pattern_len = self.factor.len();
        let floor = self.floor;
        let at_least = |value: f32| if value < floor { floor } else { value };
        let rows = self.out.chunks_mut(pattern_len).zip(self.x.chunks(pattern_len));
        match self.residual {
            None => {
                for (out, x) in rows {
                    for (((out, x), factor), offset) in
                        out.iter_mut().zip(x).zip(&self.factor).zip(&self.offset)
                    {
                        *out = at_least(x * factor + offset);
                    }
                }
            }
            Some(residual) => {
                for ((out, x), residual) in rows.zip(residual.chunks(pattern_len)) {
                    let coefficients = self.factor.iter().zip(&self.offset);
                    for (((out, x), residual), (factor, offset)) in
                        out.iter_mut().zip(x).zip(residual).zip(coefficients)
                    {
                        *out = at_least(x * factor + offset + residual);
                    }
                }
            }
        }
    }
}
