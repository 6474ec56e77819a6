//! What lies between operations.

use std::{borrow::Cow, ops::Range};

use crate::{
    Precision,
    cut::lens,
    memory::{self, ELEMENTWISE_LEN, build_beside, build_evenly, build_two, split_mut},
    norm::ChannelSums,
    scratch::{with_halves, with_scratch},
    simd::{self, Element, Family},
};

/// Values in either precision. Operations read and write them in single precision, a part at a time.
#[derive(Clone, Debug)]
pub enum Values {
    /// As they are.
    F32(Vec<f32>),
    /// The upper halves of their bits.
    Bf16(Vec<u16>),
}

#[allow(clippy::len_without_is_empty, reason = "sizes are at least 1")]
impl Values {
    /// Rounds values to a precision.
    pub fn new(values: Vec<f32>, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32(values),
            Precision::Bf16 => Self::Bf16(build_evenly(values.len(), |start, to| {
                narrow(&values[start..][..to.len()], to);
            })),
        }
    }

    /// Builds values out of parts of the given lengths, each filled by `fill(part index, own, part)`, with something of its own for
    /// each; a part starts as zeros.
    pub(crate) fn build_beside<T: Send>(
        precision: Precision,
        part_lens: &[usize],
        beside: Vec<T>,
        fill: impl Fn(usize, T, &mut [f32]) + Sync,
    ) -> Self {
        match precision {
            Precision::F32 => Self::F32(build_beside(part_lens, beside, fill)),
            Precision::Bf16 => {
                Self::Bf16(build_beside(part_lens, beside, |part_idx, own, to: &mut [u16]| {
                    with_scratch(to.len(), |part| {
                        part.fill(0.0);
                        fill(part_idx, own, part);
                        narrow(part, to);
                    });
                }))
            }
        }
    }

    /// [`build_beside`](Self::build_beside), with the sums of each of so many channels, if they are asked for: taken while a
    /// part is in the cache, and before it is rounded.
    pub(crate) fn build_summed<T: Send>(
        family: Family,
        precision: Precision,
        part_lens: &[usize],
        beside: Vec<T>,
        summed_channels: Option<usize>,
        fill: impl Fn(usize, T, &mut [f32]) + Sync,
    ) -> Summed {
        let Some(n_channels) = summed_channels else {
            return Summed { values: Self::build_beside(precision, part_lens, beside, fill), sums: None };
        };
        let mut sums: Vec<Option<ChannelSums>> = part_lens.iter().map(|_| None).collect();
        let beside = beside.into_iter().zip(&mut sums).collect();
        let values = Self::build_beside(precision, part_lens, beside, |part_idx, (own, sums), part| {
            fill(part_idx, own, part);
            *sums = Some(ChannelSums::of(family, part, n_channels));
        });
        Summed { values, sums: sums.into_iter().collect() }
    }

    /// [`build_summed`](Self::build_summed) for parts that are written as they are kept. Those in bfloat16 are summed up by what
    /// writes them, `fill(part index, own, part, sums)`, because afterwards it is too late; in single precision a pass over the
    /// part while it is in the cache is as fast, and splits long sums.
    pub(crate) fn build_kept<E: Operand, T: Send>(
        family: Family,
        part_lens: &[usize],
        beside: Vec<T>,
        summed_channels: Option<usize>,
        fill: impl Fn(usize, T, &mut [E], Option<&mut ChannelSums>) + Sync,
    ) -> Summed {
        let mut sums: Vec<Option<ChannelSums>> = part_lens.iter().map(|_| None).collect();
        let beside: Vec<(T, &mut Option<ChannelSums>)> = beside.into_iter().zip(&mut sums).collect();
        let values = build_beside(part_lens, beside, |part_idx, (own, sums), part: &mut [E]| {
            if E::PRECISION == Precision::Bf16 {
                *sums = summed_channels.map(|channels| ChannelSums::of_rows(part.len() / channels, channels));
            }
            fill(part_idx, own, part, sums.as_mut());
            if let (Some(channels), Lent::F32(part)) = (summed_channels, E::lend(part)) {
                *sums = Some(ChannelSums::of(family, part, channels));
            }
        });
        Summed { values: E::values(values), sums: sums.into_iter().collect() }
    }

    /// Builds two of them at once, `fill(part index, part, part)`; parts start as zeros.
    pub(crate) fn build_two(
        precision: Precision,
        part_lens: &[usize],
        fill: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
    ) -> (Self, Self) {
        match precision {
            Precision::F32 => {
                let (first, second) = build_two(part_lens, fill);
                (Self::F32(first), Self::F32(second))
            }
            Precision::Bf16 => {
                let mut halves = vec![0; part_lens.iter().sum()];
                let parts = split_mut(&mut halves, part_lens);
                let first = Self::build_beside(precision, part_lens, parts, |part_idx, to, first| {
                    with_scratch(to.len(), |second| {
                        second.fill(0.0);
                        fill(part_idx, first, second);
                        narrow(second, to);
                    });
                });
                (first, Self::Bf16(halves))
            }
        }
    }

    /// Adds `other` to them.
    ///
    /// # Panics
    ///
    /// When there are not as many of both.
    pub fn add(&mut self, other: &Self) {
        let len = self.len();
        assert_eq!(len, other.len(), "a sum is of as many values on both sides");
        let others = other.lend().chunks(ELEMENTWISE_LEN);
        self.change(&lens(len, ELEMENTWISE_LEN), others, |_, other, part| {
            other.with(|other: &[f32]| part.iter_mut().zip(other).for_each(|(sum, value)| *sum += value));
        });
    }

    /// Changes parts of the given lengths, with something of its own for each: `change(part index, own, part)`.
    pub(crate) fn change<T: Send>(
        &mut self,
        part_lens: &[usize],
        beside: Vec<T>,
        change: impl Fn(usize, T, &mut [f32]) + Sync,
    ) {
        match self {
            Self::F32(values) => memory::change(values, part_lens, beside, change),
            Self::Bf16(halves) => memory::change(halves, part_lens, beside, |part_idx, own, halves| {
                with_scratch(halves.len(), |part| {
                    widen(halves, part);
                    change(part_idx, own, part);
                    narrow(part, halves);
                });
            }),
        }
    }

    /// The same values in another precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        if self.precision() == precision { self } else { Self::new(self.into_whole(), precision) }
    }

    /// Lends all as they are kept.
    pub fn lend(&self) -> Lent<'_> {
        match self {
            Self::F32(values) => Lent::F32(values),
            Self::Bf16(halves) => Lent::Bf16(halves),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(halves) => halves.len(),
        }
    }

    /// How they are kept.
    pub fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::Bf16(_) => Precision::Bf16,
        }
    }

    /// Lends a part in single precision.
    pub fn with_part<R>(&self, range: Range<usize>, work: impl FnOnce(&[f32]) -> R) -> R {
        match self {
            Self::F32(values) => work(&values[range]),
            Self::Bf16(halves) => Lent::Bf16(&halves[range]).with(work),
        }
    }

    /// All in single precision: themselves, or a copy.
    pub fn whole(&self) -> Cow<'_, [f32]> {
        self.lend().whole()
    }

    /// All in single precision, to own.
    pub fn into_whole(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values,
            halves => halves.whole().into_owned(),
        }
    }
}

/// Values, and the sums of their channels part by part, in the order of memory, where they were asked for.
#[derive(Debug)]
pub struct Summed {
    /// What was computed.
    pub values: Values,
    /// One for each part.
    pub sums: Option<Vec<ChannelSums>>,
}

/// Values of the host on loan, as they are kept.
#[derive(Clone, Copy, Debug)]
pub enum Lent<'a> {
    /// As they are.
    F32(&'a [f32]),
    /// The upper halves of their bits.
    Bf16(&'a [u16]),
}

#[allow(clippy::len_without_is_empty, reason = "sizes are at least 1")]
impl<'a> Lent<'a> {
    /// How many there are.
    pub fn len(self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(halves) => halves.len(),
        }
    }

    /// Some of them.
    pub fn part(self, range: Range<usize>) -> Self {
        match self {
            Self::F32(values) => Self::F32(&values[range]),
            Self::Bf16(halves) => Self::Bf16(&halves[range]),
        }
    }

    /// Parts of `len`, but for the last.
    pub fn chunks(self, len: usize) -> Vec<Self> {
        (0..self.len()).step_by(len).map(|start| self.part(start..self.len().min(start + len))).collect()
    }

    /// Lends them as operands of products.
    #[inline(always)]
    pub(crate) fn with<E: Operand, R>(self, work: impl FnOnce(&[E]) -> R) -> R {
        E::of(self, work)
    }

    /// All in single precision: themselves, or a copy.
    pub fn whole(self) -> Cow<'a, [f32]> {
        match self {
            Self::F32(values) => Cow::Borrowed(values),
            Self::Bf16(halves) => Cow::Owned(build_evenly(halves.len(), |start, out| {
                widen(&halves[start..][..out.len()], out);
            })),
        }
    }
}

/// What values can be lent as.
pub(crate) trait Operand: Element {
    /// What they are.
    const PRECISION: Precision;

    /// Lends values, which are rounded or widened if they are not kept so.
    fn of<R>(lent: Lent<'_>, work: impl FnOnce(&[Self]) -> R) -> R;
    /// Values that are kept so.
    fn values(kept: Vec<Self>) -> Values;
    /// Values that are kept so, on loan.
    fn lend(kept: &[Self]) -> Lent<'_>;
}

impl Operand for f32 {
    const PRECISION: Precision = Precision::F32;

    fn of<R>(lent: Lent<'_>, work: impl FnOnce(&[Self]) -> R) -> R {
        match lent {
            Lent::F32(values) => work(values),
            Lent::Bf16(halves) => with_scratch(halves.len(), |part| {
                widen(halves, part);
                work(part)
            }),
        }
    }

    fn values(kept: Vec<Self>) -> Values {
        Values::F32(kept)
    }

    fn lend(kept: &[Self]) -> Lent<'_> {
        Lent::F32(kept)
    }
}

impl Operand for u16 {
    const PRECISION: Precision = Precision::Bf16;

    fn of<R>(lent: Lent<'_>, work: impl FnOnce(&[Self]) -> R) -> R {
        match lent {
            Lent::Bf16(halves) => work(halves),
            Lent::F32(values) => with_halves(values.len(), |part| {
                narrow(values, part);
                work(part)
            }),
        }
    }

    fn values(kept: Vec<Self>) -> Values {
        Values::Bf16(kept)
    }

    fn lend(kept: &[Self]) -> Lent<'_> {
        Lent::Bf16(kept)
    }
}

/// Every family gives the same bits, so that it is of no interest which one does it.
fn widen(from: &[u16], to: &mut [f32]) {
    simd::widen(Family::detected(), from, to);
}

/// As [`widen`], the same in every family.
fn narrow(from: &[f32], to: &mut [u16]) {
    simd::narrow(Family::detected(), from, to);
}

#[cfg(test)]
mod tests;
