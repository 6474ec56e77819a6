//! The first pass over a gradient: its sums.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    groups::{Groups, Parts, ROWS, by_channels, join},
    mask::Mask,
};
use crate::simd::{
    Element, Family, Kernel, Lanes, begins_line, for_registers, prefetch, read_some, write_some,
};

/// What the gradient of the input takes from all values that were normalized together: sums by group and channel,
/// `(splits, C)` each.
#[derive(Clone, Debug)]
pub struct GradientSums {
    /// Of the gradient.
    pub plain: Vec<f64>,
    /// Of the gradient times the distance of the value from the mean.
    pub with_distance: Vec<f64>,
}

/// What the normalized values of a part are computed from: as its pattern has them.
#[derive(Clone, Copy)]
pub(super) struct Pattern<'a> {
    pub(super) factor: &'a [f32],
    pub(super) offset: &'a [f32],
    pub(super) mean: &'a [f32],
}

/// Sums a gradient up; one whose mask keeps it is masked in place.
pub(super) fn sums<'a, E: Element, M: Mask<E>>(
    family: Family,
    groups: Groups,
    parts: &Parts,
    pattern_of: impl Fn(usize) -> Pattern<'a> + Sync,
    gradients: Vec<&mut [E]>,
    x: &[E],
    mask: M,
) -> GradientSums {
    let partial: Vec<[Vec<f32>; 2]> = gradients
        .into_par_iter()
        .zip(&parts.parts)
        .map(|(gradient, part)| {
            let (x, mask, pattern) = (part.of(x), mask.from(part.start), pattern_of(part.pattern));
            family.run(SumGradients { gradient, x, mask, pattern })
        })
        .collect();
    let c = groups.layout.c;
    let folded = by_channels(c, |channels| fold(&channels, groups, parts, &partial));
    let [plain, with_distance] = join(groups, &folded);
    GradientSums { plain, with_distance }
}

/// Adds the sums of some channels up, in the order of the parts: by group and channel.
fn fold(channels: &Range<usize>, groups: Groups, parts: &Parts, partial: &[[Vec<f32>; 2]]) -> [Vec<f64>; 2] {
    let (c, n) = (groups.layout.c, channels.len());
    let mut folded = [vec![0.0; groups.splits * n], vec![0.0; groups.splits * n]];
    for (part, partial) in parts.parts.iter().zip(partial) {
        for (row, &group) in parts.patterns[part.pattern].iter().enumerate() {
            for (to, from) in folded.iter_mut().zip(partial) {
                let from = &from[row * c..][channels.clone()];
                for (to, &from) in to[group * n..][..n].iter_mut().zip(from) {
                    *to += f64::from(from);
                }
            }
        }
    }
    folded
}

struct SumGradients<'a, E, M> {
    gradient: &'a mut [E],
    x: &'a [E],
    mask: M,
    pattern: Pattern<'a>,
}

impl<E: Element, M: Mask<E>> Kernel for SumGradients<'_, E, M> {
    /// By row of the pattern and channel: sums of the gradient, and of the gradient times the distance from the mean.
    type Output = [Vec<f32>; 2];

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Output {
        let Self { gradient, x, mask, pattern } = self;
        let len = pattern.mean.len();
        let mut sums = [vec![0.0_f32; len], vec![0.0_f32; len]];
        let blocks = gradient.chunks_mut(ROWS * len).zip(x.chunks(ROWS * len));
        for (block, (gradient, x)) in blocks.enumerate() {
            let mask = mask.from(block * ROWS * len);
            if x.len() == ROWS * len {
                add_rows::<L, E, M, ROWS>(gradient, x, mask, pattern, &mut sums);
            } else {
                for (row, (gradient, x)) in gradient.chunks_mut(len).zip(x.chunks(len)).enumerate() {
                    add_rows::<L, E, M, 1>(gradient, x, mask.from(row * len), pattern, &mut sums);
                }
            }
        }
        sums
    }
}

/// Adds some rows that are as long as the pattern, or one that is shorter.
#[inline(always)]
fn add_rows<L: Lanes, E: Element, M: Mask<E>, const N_ROWS: usize>(
    gradient: &mut [E],
    x: &[E],
    mask: M,
    pattern: Pattern<'_>,
    [plain, with_distance]: &mut [Vec<f32>; 2],
) {
    let row_len = x.len() / N_ROWS;
    for_registers!(L, row_len, |at, n| {
        let factor = read_some::<L, _>(pattern.factor, at, n, 0.0);
        let offset = read_some::<L, _>(pattern.offset, at, n, 0.0);
        let mean = read_some::<L, _>(pattern.mean, at, n, 0.0);
        // Rows add up among themselves first: long sums lose the digits of what is added.
        let (mut sum, mut sum_with_distance) = (L::zero(), L::zero());
        for row in 0..N_ROWS {
            // Rows side by side are not what the machine expects: it fetches ahead in the order of memory.
            if N_ROWS > 1 && begins_line::<E>(row * L::N) {
                let ahead = N_ROWS * (row_len + at) + row * L::N;
                prefetch(x, ahead);
                prefetch(gradient, ahead);
                mask.prefetch(ahead);
            }
            let place = row * row_len + at;
            let x = read_some::<L, E>(x, place, n, 0.0);
            let normalized = L::add(L::mul(x, factor), offset);
            let value = read_some::<L, E>(gradient, place, n, 0.0);
            let masked = mask.masked::<L>(value, normalized, place, n);
            if M::IS_KEPT {
                write_some::<L, E>(gradient, place, n, masked);
            }
            sum = L::add(sum, masked);
            sum_with_distance = L::mul_add(masked, L::sub(x, mean), sum_with_distance);
        }
        add_some::<L>(plain, sum, at, n);
        add_some::<L>(with_distance, sum_with_distance, at, n);
    });
}

#[inline(always)]
fn add_some<L: Lanes>(sums: &mut [f32], value: L::V, at: usize, n: usize) {
    write_some::<L, _>(sums, at, n, L::add(read_some::<L, _>(sums, at, n, 0.0), value));
}
