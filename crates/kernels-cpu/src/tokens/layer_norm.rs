//! Layer normalization.

use rayon::prelude::*;

use crate::{
    memory::split_mut,
    rows::rows_in_task,
    simd::{Family, Kernel, Lanes, for_registers, read_some, sum_lanes, write_some},
    values::Values,
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
    pub x: Vec<f32>,
    /// `D`.
    pub scale: Vec<f32>,
    /// `D`.
    pub shift: Vec<f32>,
}

impl LayerNorm<'_> {
    /// Each row less its mean, over the root of its (biased) variance plus `eps`, times scale, plus `shift`.
    pub fn forward(self, family: Family, x: &Values, shift: &[f32]) -> Values {
        let Self { scale, eps } = self;
        let tasks = Tasks::new(scale.len(), x.len());
        Values::build(x.precision(), &tasks.lens, |part, out| {
            x.with_part(tasks.range(part), |x| family.run(ForwardRows { x, scale, shift, eps, out }));
        })
    }

    /// From the gradient of the output to all others; that of the input is added to `sum`, if there is one.
    pub fn backward(
        self,
        family: Family,
        x: &Values,
        mut gradient: Vec<f32>,
        mut sum: Option<Vec<f32>>,
    ) -> LayerNormGradient {
        let Self { scale, eps } = self;
        let tasks = Tasks::new(scale.len(), x.len());
        let sums: Vec<Option<&mut [f32]>> = match &mut sum {
            Some(sum) => split_mut(sum, &tasks.lens).into_iter().map(Some).collect(),
            None => tasks.lens.iter().map(|_| None).collect(),
        };
        let (by_scale, by_shift): (Vec<_>, Vec<_>) = split_mut(&mut gradient, &tasks.lens)
            .into_par_iter()
            .zip(sums)
            .enumerate()
            .map(|(part, (gradient, sum))| {
                x.with_part(tasks.range(part), |x| family.run(BackwardRows { gradient, x, scale, eps, sum }))
            })
            .unzip();
        LayerNormGradient { x: sum.unwrap_or(gradient), scale: total(&by_scale), shift: total(&by_shift) }
    }
}

/// Whole rows, a task's share of all values.
struct Tasks {
    task_len: usize,
    lens: Vec<usize>,
}

impl Tasks {
    fn new(d: usize, len: usize) -> Self {
        let task_len = rows_in_task(d) * d;
        let lens = (0..len).step_by(task_len).map(|start| task_len.min(len - start)).collect();
        Self { task_len, lens }
    }

    fn range(&self, part: usize) -> std::ops::Range<usize> {
        part * self.task_len..part * self.task_len + self.lens[part]
    }
}

/// The sum of vectors, in their order.
fn total(partial: &[Vec<f32>]) -> Vec<f32> {
    let len = partial.first().map_or(0, Vec::len);
    let at = |i: usize| partial.iter().map(|part| f64::from(part[i])).sum::<f64>() as f32;
    (0..len).map(at).collect()
}

/// The mean, and one over the root of the variance plus `eps`.
#[inline(always)]
fn statistics<L: Lanes>(x: &[f32], eps: f32) -> (f32, f32) {
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

struct ForwardRows<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for ForwardRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { x, scale, shift, eps, out } = self;
        let d = scale.len();
        for (out, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
            let (mean, inv_std) = statistics::<L>(x, eps);
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

struct BackwardRows<'a> {
    /// Of the output; becomes that of the input, unless there is a `sum` to add it to.
    gradient: &'a mut [f32],
    x: &'a [f32],
    scale: &'a [f32],
    eps: f32,
    sum: Option<&'a mut [f32]>,
}

impl Kernel for BackwardRows<'_> {
    /// The gradients of scale and shift.
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Output {
        let Self { gradient, x, scale, eps, mut sum } = self;
        let d = scale.len();
        let share = 1.0 / d as f32;
        let (mut by_scale, mut by_shift) = (vec![0.0; d], vec![0.0; d]);
        for (row, (gradient, x)) in gradient.chunks_exact_mut(d).zip(x.chunks_exact(d)).enumerate() {
            let (mean, inv_std) = statistics::<L>(x, eps);
            let (middle, inv_std) = (L::splat(mean), L::splat(inv_std));
            let (mut plain, mut along) = (L::zero(), L::zero());
            for_registers!(L, d, |at, n| {
                let own = read_some::<L, _>(gradient, at, n, 0.0);
                let normalized = L::mul(L::sub(read_some::<L, _>(x, at, n, mean), middle), inv_std);
                let shift = L::add(read_some::<L, _>(&by_shift, at, n, 0.0), own);
                write_some::<L, _>(&mut by_shift, at, n, shift);
                let by = L::mul_add(own, normalized, read_some::<L, _>(&by_scale, at, n, 0.0));
                write_some::<L, _>(&mut by_scale, at, n, by);
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
        (by_scale, by_shift)
    }
}
