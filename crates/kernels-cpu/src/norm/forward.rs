//! The normalized values.

use super::{backward::Tail, groups::Groups, statistics::Statistics};
use crate::{
    Precision,
    memory::build_filled,
    simd::{Element, Family, Filled, Filling, Kernel, Lanes, for_registers, read_some},
    values::{Lent, Values},
};

/// What a norm learns and is set to.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// `C`; `None`: 1.
    pub scale: Option<&'a [f32]>,
    /// `C`; `None`: 0.
    pub shift: Option<&'a [f32]>,
    /// Added to the variance.
    pub eps: f64,
}

/// `y = factor * x + offset`, by group and channel: `(splits, C)` each.
#[derive(Debug)]
pub struct Coefficients {
    pub(super) factor: Vec<f32>,
    pub(super) offset: Vec<f32>,
    /// `1 / sqrt(var + eps)`.
    pub(super) inv_std: Vec<f64>,
}

impl Coefficients {
    /// What normalizes values of these statistics.
    pub fn new(statistics: &Statistics, affine: Affine<'_>) -> Self {
        let one_of = |values: Option<&[f32]>, at: usize, default: f64| {
            values.map_or(default, |values| f64::from(values[at % values.len()]))
        };
        let inv_std: Vec<f64> = statistics.var.iter().map(|var| 1.0 / (var + affine.eps).sqrt()).collect();
        let factor = |at: usize| one_of(affine.scale, at, 1.0) * inv_std[at];
        let offset = |at: usize| one_of(affine.shift, at, 0.0) - statistics.mean[at] * factor(at);
        Self {
            factor: (0..inv_std.len()).map(|at| factor(at) as f32).collect(),
            offset: (0..inv_std.len()).map(|at| offset(at) as f32).collect(),
            inv_std,
        }
    }
}

/// `tail(factor * x + offset (+ residual))`.
pub fn apply(
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
    build_filled(&parts.lens(), |part_idx, out| {
        let part = parts.parts[part_idx];
        family.run(ApplyPart {
            factor: &factor[part.pattern],
            offset: &offset[part.pattern],
            x: part.of(x),
            residual: residual.map(|residual| part.of(residual)),
            out,
            floor,
        })
    })
}

struct ApplyPart<'id, 'a, E> {
    factor: &'a [f32],
    offset: &'a [f32],
    x: &'a [E],
    residual: Option<&'a [E]>,
    out: Filling<'id, 'a, E>,
    /// Below which nothing comes out: 0 is ReLU.
    floor: f32,
}

impl<'id, E: Element> Kernel for ApplyPart<'id, '_, E> {
    type Output = Filled<'id>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Filled<'id> {
        let Self { factor, offset, x, residual, mut out, floor } = self;
        let (pattern_len, floor) = (factor.len(), L::splat(floor));
        for (row, x) in x.chunks(pattern_len).enumerate() {
            match residual {
                None => {
                    for_registers!(L, x.len(), |at, n| {
                        let y = scale::<L, E>(x, factor, offset, at, n);
                        out.push::<L>(L::max(floor, y), n);
                    });
                }
                Some(residual) => {
                    let residual = &residual[row * pattern_len..];
                    for_registers!(L, x.len(), |at, n| {
                        let y = scale::<L, E>(x, factor, offset, at, n);
                        let y = L::add(y, read_some::<L, E>(residual, at, n, 0.0));
                        out.push::<L>(L::max(floor, y), n);
                    });
                }
            }
        }
        out.end()
    }
}

#[inline(always)]
fn scale<L: Lanes, E: Element>(x: &[E], factor: &[f32], offset: &[f32], at: usize, n: usize) -> L::V {
    let product = L::mul(read_some::<L, E>(x, at, n, 0.0), read_some::<L, _>(factor, at, n, 0.0));
    L::add(product, read_some::<L, _>(offset, at, n, 0.0))
}
