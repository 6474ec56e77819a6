//! Means and variances.

use std::ops::Range;

use rayon::prelude::*;

use super::groups::{Groups, Part, by_channels, join, one_group};
use crate::{
    simd::{Element, Family, Kernel, Lanes, Moments},
    values::{Lent, Values},
};

/// Means and variances, `(splits, C)` each.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The means.
    pub mean: Vec<f64>,
    /// Biased: the means of the squared distances.
    pub var: Vec<f64>,
    /// How many values each is of, with which they move; `None` for those of training, which do not move with a batch.
    pub n_values: Option<f64>,
}

impl Statistics {
    /// Of a batch.
    pub fn of(family: Family, values: &Values, groups: Groups) -> Self {
        match values.lend() {
            Lent::F32(values) => Self::of_sums(&sums(family, values, groups), groups),
            Lent::Bf16(values) => Self::of_sums(&sums(family, values, groups), groups),
        }
    }

    /// Of a batch whose parts are summed up already, in their order.
    pub fn of_sums(sums: &[ChannelSums], groups: Groups) -> Self {
        combine(sums, groups)
    }

    /// Of training.
    pub fn running(mean: &[f32], var: &[f32]) -> Self {
        let widened = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        Self { mean: widened(mean), var: widened(var), n_values: None }
    }

    /// Of several batches together, in their order, by Chan, Golub & LeVeque's rule. What is of no values counts for nothing.
    ///
    /// # Panics
    ///
    /// If they differ in length.
    pub fn union<'a>(batches: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self { mean: Vec::new(), var: Vec::new(), n_values: None };
        for batch in batches {
            let Some(n) = batch.n_values else { continue };
            let Some(count) = all.n_values else {
                all = batch.clone();
                continue;
            };
            let total = count + n;
            assert_eq!(all.mean.len(), batch.mean.len(), "statistics are of the same channels");
            let of_batch = batch.mean.iter().zip(&batch.var);
            for ((mean, var), (&batch_mean, &batch_var)) in
                all.mean.iter_mut().zip(&mut all.var).zip(of_batch)
            {
                let distance = batch_mean - *mean;
                *mean += distance * (n / total);
                *var = (*var * count + batch_var * n + distance * distance * (count * n / total)) / total;
            }
            all.n_values = Some(total);
        }
        all
    }

    /// What the running statistics move towards: the mean over groups, the variance unbiased.
    pub fn for_running(&self, groups: Groups) -> (Vec<f64>, Vec<f64>) {
        let unbiased = self.n_values.map_or(1.0, |n| n / (n - 1.0));
        let over_groups = |by_group: &[f64], factor: f64| {
            let mut mean = vec![0.0; groups.layout.c];
            for row in by_group.chunks_exact(groups.layout.c) {
                for (mean, value) in mean.iter_mut().zip(row) {
                    *mean += value * factor / groups.splits as f64;
                }
            }
            mean
        };
        (over_groups(&self.mean, 1.0), over_groups(&self.var, unbiased))
    }
}

/// Of one part, by group and channel: sums of distances from `shift`, which keeps them small.
#[derive(Debug)]
pub struct ChannelSums {
    /// `C`.
    shift: Vec<f32>,
    /// `splits`.
    counts: Vec<usize>,
    /// `(splits, C)`.
    sum: Vec<f32>,
    /// `(splits, C)`.
    sum_of_squares: Vec<f32>,
}

impl ChannelSums {
    /// Of some rows of `n_channels` values, all of one group.
    pub fn of(family: Family, values: &[f32], n_channels: usize) -> Self {
        let groups_of_rows = &one_group(n_channels);
        family.run(SumValues { values, groups_of_rows, splits: 1, c: n_channels })
    }

    /// Of `n_rows` rows of `n_channels` values, all of one group, once `set` has been told of all channels.
    pub fn of_rows(n_rows: usize, n_channels: usize) -> Self {
        let zeros = vec![0.0; n_channels];
        Self { shift: zeros.clone(), counts: vec![n_rows], sum: zeros.clone(), sum_of_squares: zeros }
    }

    /// `n_channels` channels from `first` on.
    pub(crate) fn set(&mut self, first: usize, n_channels: usize, moments: &Moments) {
        let set =
            |to: &mut [f32], from: &[f32]| to[first..][..n_channels].copy_from_slice(&from[..n_channels]);
        set(&mut self.shift, &moments.shift);
        set(&mut self.sum, &moments.sum);
        set(&mut self.sum_of_squares, &moments.sum_of_squares);
    }
}

fn sums<E: Element>(family: Family, values: &[E], groups: Groups) -> Vec<ChannelSums> {
    let parts = groups.parts();
    let sum = |part: &Part| {
        family.run(SumValues {
            values: part.of(values),
            groups_of_rows: &parts.patterns[part.pattern],
            splits: groups.splits,
            c: groups.layout.c,
        })
    };
    parts.parts.par_iter().map(sum).collect()
}

struct SumValues<'a, E> {
    values: &'a [E],
    /// The group of each row of channels of the pattern, which repeats until the part ends.
    groups_of_rows: &'a [usize],
    splits: usize,
    c: usize,
}

impl<E: Element> Kernel for SumValues<'_, E> {
    type Output = ChannelSums;

    #[inline(always)]
    fn run<L: Lanes>(self) -> ChannelSums {
        let Self { values, groups_of_rows, splits, c } = self;
        let n_rows = groups_of_rows.len();
        let shift: Vec<f32> = values[..c].iter().map(|value| value.single()).collect();
        let shift_of_pattern = shift.repeat(n_rows);
        let mut sum_of_pattern = vec![0.0_f32; n_rows * c];
        let mut squares_of_pattern = vec![0.0_f32; n_rows * c];
        for pattern in values.chunks(n_rows * c) {
            let sums = sum_of_pattern.iter_mut().zip(&mut squares_of_pattern);
            for ((value, shift), (sum, square)) in pattern.iter().zip(&shift_of_pattern).zip(sums) {
                let distance = value.single() - shift;
                *sum += distance;
                *square += distance * distance;
            }
        }

        let mut sums = ChannelSums {
            shift,
            counts: vec![0; splits],
            sum: vec![0.0; splits * c],
            sum_of_squares: vec![0.0; splits * c],
        };
        for (row, &group) in groups_of_rows.iter().enumerate() {
            let n_rows_before = values.len() / c - row.min(values.len() / c);
            sums.counts[group] += n_rows_before.div_ceil(n_rows);
            let fold = |to: &mut [f32], from: &[f32]| {
                for (to, from) in to[group * c..][..c].iter_mut().zip(&from[row * c..][..c]) {
                    *to += from;
                }
            };
            fold(&mut sums.sum, &sum_of_pattern);
            fold(&mut sums.sum_of_squares, &squares_of_pattern);
        }
        sums
    }
}

/// Chan, Golub & LeVeque's rule for the statistics of a union, in double precision and in the order of the parts.
fn combine(parts: &[ChannelSums], groups: Groups) -> Statistics {
    let c = groups.layout.c;
    let combined = by_channels(c, |channels| combine_channels(parts, groups.splits, c, &channels));
    let [mean, squares] = join(groups, &combined);
    let n = groups.n_values() as f64;
    Statistics { mean, var: squares.into_iter().map(|squares| squares / n).collect(), n_values: Some(n) }
}

/// The means and the squared distances of some channels, by group and channel.
fn combine_channels(
    parts: &[ChannelSums],
    splits: usize,
    c: usize,
    channels: &Range<usize>,
) -> [Vec<f64>; 2] {
    let len = splits * channels.len();
    let (mut counts, mut mean, mut squares) = (vec![0.0_f64; splits], vec![0.0; len], vec![0.0; len]);
    for part in parts {
        for (group, count) in counts.iter_mut().enumerate() {
            let n = part.counts[group] as f64;
            if n == 0.0 {
                continue;
            }
            let total = *count + n;
            let (of_one, of_part, of_both) = (1.0 / n, n / total, *count * n / total);
            let from = group * c + channels.start..group * c + channels.end;
            let sums = part.sum[from.clone()].iter().zip(&part.sum_of_squares[from]);
            let to = group * channels.len()..(group + 1) * channels.len();
            let totals = mean[to.clone()].iter_mut().zip(&mut squares[to]);
            let shifts = &part.shift[channels.clone()];
            for (((&sum, &sum_of_squares), &shift), (mean, squares)) in sums.zip(shifts).zip(totals) {
                let sum = f64::from(sum);
                let part_squares = (f64::from(sum_of_squares) - sum * sum * of_one).max(0.0);
                let distance = f64::from(shift) + sum * of_one - *mean;
                *mean += distance * of_part;
                *squares += part_squares + distance * distance * of_both;
            }
            *count = total;
        }
    }
    [mean, squares]
}
