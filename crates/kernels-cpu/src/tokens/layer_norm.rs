//! Layer normalization.

use crate::{
    Precision,
    cut::lens,
    memory::{build, build_beside, split_mut},
    rows::{combine, rows_in_task},
    simd::{Element, Family, Kernel, Lanes, for_registers, read_some, sum_lanes, write_some},
    values::{Operand, Values},
};

/// Layer normalization of rows of `D` features.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// `D`.
    pub scale: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
}

/// The gradients of a layer norm.
#[derive(Debug)]
pub struct LayerNormGradient {
    /// That of the input: `sum` with it added, or the output's own memory.
    pub x: Values,
    /// `D`.
    pub scale: Vec<f32>,
    /// `D`.
    pub shift: Vec<f32>,
}

impl LayerNorm<'_> {
    /// Each row less its mean, over the root of its (biased) variance plus `eps`, times scale, plus `shift`.
    ///
    /// # Panics
    ///
    /// When the rows are not whole, or the shift has not as many features as the scale.
    pub fn forward(self, family: Family, x: &Values, shift: &[f32]) -> Values {
        match x {
            Values::F32(x) => self.forward_of(family, x, shift),
            Values::Bf16(x) => self.forward_of(family, x, shift),
        }
    }

    fn forward_of<E: Operand>(self, family: Family, x: &[E], shift: &[f32]) -> Values {
        let Self { scale, eps } = self;
        assert_eq!(scale.len(), shift.len(), "there is a shift for each scale");
        let tasks = Tasks::new(scale.len(), x.len());
        E::values(build(&tasks.lens, |part, out| {
            family.run(ForwardRows { x: &x[tasks.range(part)], scale, shift, eps, out });
        }))
    }

    /// From the gradient of the output to all others; that of the input has its precision, and is added to `sum`, if there is
    /// one. What is summed up is in single precision.
    ///
    /// # Panics
    ///
    /// When the rows are not whole, or the gradient or the sum has not as many values as the input.
    pub fn backward(
        self,
        family: Family,
        x: &Values,
        gradient: Values,
        sum: Option<Values>,
    ) -> LayerNormGradient {
        match (gradient, sum) {
            (Values::F32(gradient), sum) => {
                self.backward_by(family, x, gradient, sum.map(Values::into_whole))
            }
            (Values::Bf16(gradient), None) => self.backward_by(family, x, gradient, None),
            (Values::Bf16(gradient), Some(sum)) => match sum.with_precision(Precision::Bf16) {
                Values::Bf16(sum) => self.backward_by(family, x, gradient, Some(sum)),
                Values::F32(_) => unreachable!("the precision is asked for"),
            },
        }
    }

    fn backward_by<G: Operand>(
        self,
        family: Family,
        x: &Values,
        gradient: Vec<G>,
        sum: Option<Vec<G>>,
    ) -> LayerNormGradient {
        match x {
            Values::F32(x) => self.backward_of(family, x, gradient, sum),
            Values::Bf16(x) => self.backward_of(family, x, gradient, sum),
        }
    }

    fn backward_of<E: Element, G: Operand>(
        self,
        family: Family,
        x: &[E],
        mut gradient: Vec<G>,
        mut sum: Option<Vec<G>>,
    ) -> LayerNormGradient {
        let Self { scale, eps } = self;
        let d = scale.len();
        assert_eq!(gradient.len(), x.len(), "a gradient is of as many values as there are");
        assert!(
            sum.as_ref().is_none_or(|sum| sum.len() == x.len()),
            "a sum is of as many values on both sides"
        );
        let tasks = Tasks::new(d, x.len());
        let sums: Vec<Option<&mut [G]>> = match &mut sum {
            Some(sum) => split_mut(sum, &tasks.lens).into_iter().map(Some).collect(),
            None => tasks.lens.iter().map(|_| None).collect(),
        };
        let beside = split_mut(&mut gradient, &tasks.lens).into_iter().zip(sums).collect();
        let partial =
            build_beside(&vec![2 * d; tasks.lens.len()], beside, |part, (gradient, sum), totals| {
                let (by_scale, by_shift) = totals.split_at_mut(d);
                let x = &x[tasks.range(part)];
                family.run(BackwardRows { gradient, x, scale, eps, sum, by_scale, by_shift });
            });
        let mut scale = combine(&partial, 2 * d);
        let shift = scale.split_off(d);
        LayerNormGradient { x: G::values(sum.unwrap_or(gradient)), scale, shift }
    }
}

/// Whole rows, a task's share of all values.
struct Tasks {
    task_len: usize,
    lens: Vec<usize>,
}

impl Tasks {
    fn new(d: usize, len: usize) -> Self {
        assert!(len.is_multiple_of(d), "rows are whole");
        let task_len = rows_in_task(d) * d;
        Self { task_len, lens: lens(len, task_len) }
    }

    fn range(&self, part: usize) -> std::ops::Range<usize> {
        part * self.task_len..part * self.task_len + self.lens[part]
    }
}

/// The mean, and one over the root of the variance plus `eps`.
#[inline(always)]
fn statistics<L: Lanes, E: Element>(x: &[E], eps: f32) -> (f32, f32) {
    let share = 1.0 / x.len() as f32;
    let mut sum = L::zero();
    for_registers!(L, x.len(), |at, n| {
        sum = L::add(sum, read_some::<L, _>(x, at, n, 0.0));
    });
    let mean = sum_lanes::<L>(sum) * share;
    let mut squares = L::zero();
    for_registers!(L, x.len(), |at, n| {
        let distance = L::sub(read_some::<L, _>(x, at, n, mean), L::splat(mean));
        squares = L::mul_add(distance, distance, squares);
    });
    (mean, 1.0 / (sum_lanes::<L>(squares) * share + eps).sqrt())
}

struct ForwardRows<'a, E> {
    x: &'a [E],
    scale: &'a [f32],
    shift: &'a [f32],
    eps: f32,
    out: &'a mut [E],
}

impl<E: Element> Kernel for ForwardRows<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { x, scale, shift, eps, out } = self;
        let d = scale.len();
        for (out, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
            let (mean, inv_std) = statistics::<L, _>(x, eps);
            let (mean, inv_std) = (L::splat(mean), L::splat(inv_std));
            for_registers!(L, d, |at, n| {
                let normalized = L::mul(L::sub(read_some::<L, _>(x, at, n, 0.0), mean), inv_std);
                let (scale, shift) =
                    (read_some::<L, _>(scale, at, n, 0.0), read_some::<L, _>(shift, at, n, 0.0));
                write_some::<L, _>(out, at, n, L::mul_add(normalized, scale, shift));
            });
        }
    }
}

struct BackwardRows<'a, E, G> {
    /// Of the output; becomes that of the input, unless there is a `sum` to add it to.
    gradient: &'a mut [G],
    x: &'a [E],
    scale: &'a [f32],
    eps: f32,
    sum: Option<&'a mut [G]>,
    /// The gradients of scale and shift: zeros.
    by_scale: &'a mut [f32],
    by_shift: &'a mut [f32],
}

impl<E: Element, G: Element> Kernel for BackwardRows<'_, E, G> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { gradient, x, scale, eps, mut sum, by_scale, by_shift } = self;
        let d = scale.len();
        let share = 1.0 / d as f32;
        for (row, (gradient, x)) in gradient.chunks_exact_mut(d).zip(x.chunks_exact(d)).enumerate() {
            let (mean, inv_std) = statistics::<L, _>(x, eps);
            let (middle, inv_std) = (L::splat(mean), L::splat(inv_std));
            let (mut plain, mut along) = (L::zero(), L::zero());
            for_registers!(L, d, |at, n| {
                let own = read_some::<L, _>(gradient, at, n, 0.0);
                let normalized = L::mul(L::sub(read_some::<L, _>(x, at, n, mean), middle), inv_std);
                let shift = L::add(read_some::<L, _>(by_shift, at, n, 0.0), own);
                write_some::<L, _>(by_shift, at, n, shift);
                let by = L::mul_add(own, normalized, read_some::<L, _>(by_scale, at, n, 0.0));
                write_some::<L, _>(by_scale, at, n, by);
                let scaled = L::mul(own, read_some::<L, _>(scale, at, n, 0.0));
                plain = L::add(plain, scaled);
                along = L::mul_add(scaled, normalized, along);
            });
            let plain = L::splat(sum_lanes::<L>(plain) * share);
            let along = L::splat(-sum_lanes::<L>(along) * share);
            let mut sum = sum.as_mut().map(|sum| &mut sum[row * d..][..d]);
            for_registers!(L, d, |at, n| {
                let scaled =
                    L::mul(read_some::<L, _>(gradient, at, n, 0.0), read_some::<L, _>(scale, at, n, 0.0));
                let normalized = L::mul(L::sub(read_some::<L, _>(x, at, n, mean), middle), inv_std);
                let by_x = L::mul(L::mul_add(normalized, along, L::sub(scaled, plain)), inv_std);
                match &mut sum {
                    None => write_some::<L, _>(gradient, at, n, by_x),
                    Some(sum) => {
                        let by_x = L::add(read_some::<L, _>(sum, at, n, 0.0), by_x);
                        write_some::<L, _>(sum, at, n, by_x);
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
