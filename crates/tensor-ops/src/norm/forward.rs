//! The normalised values.

use super::{BatchNorm, backward::Tail, groups::Groups, statistics::Statistics};
use crate::{
    Precision,
    memory::build,
    simd::{Element, Family, Kernel, Lanes},
    values::{Lent, Values},
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
    let floor = if tail == Tail::Relu { 0.0 } else { f32::NEG_INFINITY };
    match (x.lend(), residual.map(Values::lend)) {
        (Lent::F32(x), None) => Values::F32(apply_to(family, groups, coefficients, (x, None), floor)),
        (Lent::F32(x), Some(residual)) => {
            Values::F32(apply_to(family, groups, coefficients, (x, Some(&residual.whole())), floor))
        }
        (Lent::Bf16(x), None) => Values::Bf16(apply_to(family, groups, coefficients, (x, None), floor)),
        (Lent::Bf16(x), Some(Lent::Bf16(residual))) => {
            Values::Bf16(apply_to(family, groups, coefficients, (x, Some(residual)), floor))
        }
        (Lent::Bf16(_), Some(Lent::F32(residual))) => {
            let residual = Values::new(residual.to_vec(), Precision::Bf16);
            apply(family, groups, coefficients, x, Some(&residual), tail)
        }
    }
}

fn apply_to<E: Element>(
    family: Family,
    groups: Groups,
    coefficients: &Coefficients,
    (x, residual): (&[E], Option<&[E]>),
    floor: f32,
) -> Vec<E> {
    let parts = groups.parts();
    let (factor, offset) = (parts.expand(&coefficients.factor), parts.expand(&coefficients.offset));
    build(&parts.lens(), |part_idx, out| {
        let part = parts.parts[part_idx];
        family.run(ApplyPart {
            factor: &factor[part.pattern],
            offset: &offset[part.pattern],
            x: part.of(x),
            residual: residual.map(|residual| part.of(residual)),
            out,
            floor,
        });
    })
}

struct ApplyPart<'a, E> {
    factor: &'a [f32],
    offset: &'a [f32],
    x: &'a [E],
    residual: Option<&'a [E]>,
    out: &'a mut [E],
    /// Below which nothing comes out: 0 is ReLU.
    floor: f32,
}

impl<E: Element> Kernel for ApplyPart<'_, E> {
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
                        out.iter_mut().zip(x).zip(self.factor).zip(self.offset)
                    {
                        *out = E::nearest(at_least(x.single() * factor + offset));
                    }
                }
            }
            Some(residual) => {
                for ((out, x), residual) in rows.zip(residual.chunks(pattern_len)) {
                    let coefficients = self.factor.iter().zip(self.offset);
                    for (((out, x), residual), (factor, offset)) in
                        out.iter_mut().zip(x).zip(residual).zip(coefficients)
                    {
                        *out = E::nearest(at_least(x.single() * factor + offset + residual.single()));
                    }
                }
            }
        }
    }
}
