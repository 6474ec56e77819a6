//! The second pass over a gradient: what each value's gets because it moved the statistics.

use super::{groups::ROWS, mask::Mask, sums::Pattern};
use crate::simd::{Element, Kernel, Lanes, begins_line, for_registers, prefetch, read_some, write_some};

/// `factor * gradient + (slope * (x - mean) + offset)`.
#[derive(Clone, Copy)]
pub(super) struct Spread<'a> {
    /// See [`Pattern`].
    pub(super) pattern: Pattern<'a>,
    /// As the pattern has it.
    pub(super) slope: &'a [f32],
    /// As the pattern has it.
    pub(super) offset: &'a [f32],
}

/// The gradient of a part of the input.
pub(super) struct SpreadPart<'a, E, M> {
    /// The gradient of the output, or `None`: it is in `to`.
    pub(super) from: Option<&'a [E]>,
    pub(super) to: &'a mut [E],
    pub(super) x: &'a [E],
    pub(super) mask: M,
    pub(super) spread: Spread<'a>,
}

impl<E: Element, M: Mask<E>> Kernel for SpreadPart<'_, E, M> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { from, to, x, mask, spread } = self;
        let len = spread.slope.len();
        let blocks = to.chunks_mut(ROWS * len).zip(x.chunks(ROWS * len));
        for (block, (to, x)) in blocks.enumerate() {
            let start = block * ROWS * len;
            let (mask, from) = (mask.from(start), from.map(|from| &from[start..]));
            if x.len() == ROWS * len {
                spread_rows::<L, E, M, ROWS>(from, to, x, mask, spread);
            } else {
                for (row, (to, x)) in to.chunks_mut(len).zip(x.chunks(len)).enumerate() {
                    let (mask, from) = (mask.from(row * len), from.map(|from| &from[row * len..]));
                    spread_rows::<L, E, M, 1>(from, to, x, mask, spread);
                }
            }
        }
    }
}

/// Some rows that are as long as the pattern, or one that is shorter.
#[inline(always)]
fn spread_rows<L: Lanes, E: Element, M: Mask<E>, const N_ROWS: usize>(
    from: Option<&[E]>,
    to: &mut [E],
    x: &[E],
    mask: M,
    Spread { pattern, slope, offset }: Spread<'_>,
) {
    let row_len = x.len() / N_ROWS;
    for_registers!(L, row_len, |at, n| {
        let factor = read_some::<L, _>(pattern.factor, at, n, 0.0);
        let base = read_some::<L, _>(pattern.offset, at, n, 0.0);
        let mean = read_some::<L, _>(pattern.mean, at, n, 0.0);
        let slope = read_some::<L, _>(slope, at, n, 0.0);
        let offset = read_some::<L, _>(offset, at, n, 0.0);
        for row in 0..N_ROWS {
            // See the first pass.
            if N_ROWS > 1 && begins_line::<E>(row * L::N) {
                let ahead = N_ROWS * (row_len + at) + row * L::N;
                prefetch(x, ahead);
                prefetch(from.unwrap_or(to), ahead);
            }
            let place = row * row_len + at;
            let x = read_some::<L, E>(x, place, n, 0.0);
            let normalized = L::add(L::mul(x, factor), base);
            let value = match from {
                Some(from) => read_some::<L, E>(from, place, n, 0.0),
                None => read_some::<L, E>(to, place, n, 0.0),
            };
            let masked = mask.masked::<L>(value, normalized, place, n);
            let by_statistics = L::mul_add(slope, L::sub(x, mean), offset);
            write_some::<L, E>(to, place, n, L::mul_add(factor, masked, by_statistics));
        }
    });
}
