//! Operands of products, in the order that a tile reads them: `[panel of columns][step][column]`.
//!
//! A panel of right operands is two registers wide, and one of left operands, a group, as wide as a tile is high. A step
//! is a single value of each column or, where pairs of bfloat16 are multiplied, two that share a word.

use std::ops::Range;

use crate::{
    scratch::with_scratch,
    simd::{Element, Lanes, MAX_LANES, halves_of, read, read_some, rounded, transpose, write},
};

/// Steps that are packed before the next group of columns is begun: so few that what the groups share, the lines of
/// memory, is still in the first-level cache.
const PACKED_AT_ONCE: usize = 32;

/// Step `i` of the panel is `n_columns` values at `i * from_row`. `to` holds zeros past the last column.
#[inline(always)]
pub(crate) fn pack_plain_panel<L: Lanes>(
    from: &[f32],
    from_row: usize,
    (n_steps, n_columns): (usize, usize),
    to: &mut [f32],
) {
    let panel = 2 * L::N;
    let steps = to.chunks_exact_mut(panel).take(n_steps).enumerate();
    if n_columns == panel {
        // Told the length, the compiler copies by registers.
        steps.for_each(|(step, to)| to.copy_from_slice(&from[step * from_row..][..panel]));
    } else {
        steps.for_each(|(step, to)| to[..n_columns].copy_from_slice(&from[step * from_row..][..n_columns]));
    }
}

/// Column `j` of the panel is `n_steps` values at `j * from_row`. `to` holds zeros past the last column.
#[inline(always)]
pub(crate) fn pack_transposed_panel<L: Lanes>(
    from: &[f32],
    from_row: usize,
    (n_steps, n_columns): (usize, usize),
    to: &mut [f32],
) {
    transpose::<L>(from, from_row, (n_columns, n_steps), to, 2 * L::N);
}

/// [`pack_plain_panel`] of two steps in a word; `n_steps` is even.
#[inline(always)]
pub(crate) fn pack_plain_pairs<L: Lanes>(
    from: &[f32],
    from_row: usize,
    (n_steps, n_columns): (usize, usize),
    to: &mut [f32],
) {
    for (pair, to) in to.chunks_exact_mut(2 * L::N).take(n_steps / 2).enumerate() {
        let row = |step: usize| &from[step * from_row..][..n_columns];
        f32::pack_pairs::<L>(row(2 * pair), row(2 * pair + 1), to);
    }
}

/// [`pack_transposed_panel`] of two steps in a word, columns one after the other; `n_steps` is even.
#[inline(always)]
pub(crate) fn pack_transposed_pairs<L: Lanes>(
    from: &[f32],
    (n_steps, n_columns): (usize, usize),
    to: &mut [f32],
) {
    // Two steps of a column lie side by side: rounded, they are the words to transpose.
    with_scratch(from.len() / 2, |words| {
        for (to, &from) in halves_of(words).iter_mut().zip(from) {
            *to = rounded(from);
        }
        transpose::<L>(words, n_steps / 2, (n_columns, n_steps / 2), to, 2 * L::N);
    });
}

/// Rows whose columns are packed: both operands of a gradient of weights lie so.
#[derive(Clone)]
pub(crate) struct RowsToPack<'a, S> {
    /// Whole rows.
    pub(crate) values: &'a [S],
    /// Values of a row.
    pub(crate) row_len: usize,
    /// Rows that pair up among themselves; one that is left meets zeros.
    pub(crate) n_together: usize,
    /// What is packed of each row.
    pub(crate) columns: Range<usize>,
}

impl<'a, S: Element> RowsToPack<'a, S> {
    /// Steps of `per_step` rows.
    pub(crate) fn n_steps(&self, per_step: usize) -> usize {
        let n_rows = self.values.len() / self.row_len;
        n_rows / self.n_together * self.n_together.div_ceil(per_step)
            + (n_rows % self.n_together).div_ceil(per_step)
    }

    /// Both rows of each step of two; the second may be empty.
    #[inline(always)]
    fn pairs(&self) -> Pairs<'a, S> {
        let run_len = self.n_together * self.row_len;
        Pairs { run: &[], rest: self.values, row_len: self.row_len, run_len }
    }
}

/// See [`RowsToPack::pairs`].
struct Pairs<'a, S> {
    run: &'a [S],
    rest: &'a [S],
    row_len: usize,
    run_len: usize,
}

impl<'a, S> Iterator for Pairs<'a, S> {
    type Item = (&'a [S], &'a [S]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.run.is_empty() {
            if self.rest.is_empty() {
                return None;
            }
            (self.run, self.rest) = self.rest.split_at(self.run_len.min(self.rest.len()));
        }
        let (low, rest) = self.run.split_at(self.row_len);
        let (high, rest) = rest.split_at(self.row_len.min(rest.len()));
        self.run = rest;
        Some((low, high))
    }
}

/// How rows become steps of values of this type: left operands are such values already, right operands of type `S`.
pub(crate) trait PackedFrom<S: Element>: Element {
    /// Left operands, to `[group of columns][step][column]`, with [`Lanes::ROWS`] columns in a group.
    ///
    /// What lies behind the last column is not defined, because no tile reads it.
    fn pack_groups<L: Lanes>(rows: &RowsToPack<'_, Self>, packed: &mut [f32]);

    /// Right operands, to one panel of two registers, `[step][column]`, with zeros after the last column; adds the rows to `sums`, if
    /// there are any.
    fn pack_panel<L: Lanes>(rows: &RowsToPack<'_, S>, packed: &mut [f32], sums: Option<&mut [f32]>);
}

/// A row is a step.
impl PackedFrom<f32> for f32 {
    #[inline(always)]
    fn pack_groups<L: Lanes>(rows: &RowsToPack<'_, f32>, packed: &mut [f32]) {
        let RowsToPack { values, row_len, ref columns, .. } = *rows;
        let n_steps = rows.n_steps(1);
        for (block, values) in values.chunks(PACKED_AT_ONCE * row_len).enumerate() {
            for (group, first) in columns.clone().step_by(L::ROWS).enumerate() {
                let width = L::ROWS.min(columns.end - first);
                let to = &mut packed[(group * n_steps + block * PACKED_AT_ONCE) * L::ROWS..];
                let steps = to.chunks_exact_mut(L::ROWS).zip(values.chunks_exact(row_len));
                if width == L::ROWS {
                    // Told the length, the compiler copies by registers.
                    for (to, from) in steps {
                        to.copy_from_slice(&from[first..first + L::ROWS]);
                    }
                } else {
                    for (to, from) in steps {
                        to[..width].copy_from_slice(&from[first..first + width]);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn pack_panel<L: Lanes>(rows: &RowsToPack<'_, f32>, packed: &mut [f32], sums: Option<&mut [f32]>) {
        let RowsToPack { values, row_len, ref columns, .. } = *rows;
        let (panel, width) = (2 * L::N, columns.len());
        let mut panel_sums = PanelSums::<L>::new();
        for (to, from) in packed.chunks_exact_mut(panel).zip(values.chunks_exact(row_len)) {
            let from = &from[columns.start..];
            if width == panel {
                to.copy_from_slice(&from[..panel]);
            } else {
                to[..width].copy_from_slice(&from[..width]);
                to[width..].fill(0.0);
            }
            if sums.is_some() {
                panel_sums.add(read::<L>(to), read::<L>(&to[L::N..]));
            }
        }
        if let Some(sums) = sums {
            panel_sums.add_to(sums);
        }
    }
}

/// Two rows are a step.
impl<S: Element> PackedFrom<S> for u16 {
    #[inline(always)]
    fn pack_groups<L: Lanes>(rows: &RowsToPack<'_, u16>, packed: &mut [f32]) {
        let columns = &rows.columns;
        let mut groups = packed.chunks_exact_mut((rows.n_steps(2) * L::ROWS).max(1));
        let mut first = columns.start;
        while first < columns.end {
            let Some(group) = groups.next() else { return };
            // Where a register is two groups wide, it is filled.
            if L::N == 2 * L::ROWS && first + L::N <= columns.end {
                let Some(next) = groups.next() else { return };
                let to_both = group.chunks_exact_mut(L::ROWS).zip(next.chunks_exact_mut(L::ROWS));
                for ((low, high), (to, to_next)) in rows.pairs().zip(to_both) {
                    let mut words = [0.0; MAX_LANES];
                    let high = high.get(first..first + L::N).unwrap_or_default();
                    u16::pack_pairs::<L>(&low[first..first + L::N], high, &mut words[..L::N]);
                    to.copy_from_slice(&words[..L::ROWS]);
                    to_next.copy_from_slice(&words[L::ROWS..2 * L::ROWS]);
                }
                first += L::N;
            } else {
                let columns = first..columns.end.min(first + L::ROWS);
                for ((low, high), to) in rows.pairs().zip(group.chunks_exact_mut(L::ROWS)) {
                    let high = high.get(columns.clone()).unwrap_or_default();
                    u16::pack_pairs::<L>(&low[columns.clone()], high, to);
                }
                first += L::ROWS;
            }
        }
    }

    #[inline(always)]
    fn pack_panel<L: Lanes>(rows: &RowsToPack<'_, S>, packed: &mut [f32], sums: Option<&mut [f32]>) {
        let columns = rows.columns.clone();
        let (low_width, high_width) = (columns.len().min(L::N), columns.len().saturating_sub(L::N));
        let mut panel_sums = PanelSums::<L>::new();
        for (to, (first, second)) in packed.chunks_exact_mut(2 * L::N).zip(rows.pairs()) {
            let (first, second) = (&first[columns.clone()], second.get(columns.clone()).unwrap_or_default());
            if first.len() == 2 * L::N && second.len() == 2 * L::N {
                // Told the length, the compiler unrolls.
                S::pack_pairs::<L>(&first[..2 * L::N], &second[..2 * L::N], &mut to[..2 * L::N]);
            } else {
                S::pack_pairs::<L>(first, second, to);
            }
            if sums.is_some() {
                for row in [first, second].into_iter().filter(|row| !row.is_empty()) {
                    let low = read_some::<L, S>(row, 0, low_width, 0.0);
                    panel_sums.add(low, read_some::<L, S>(row, low_width, high_width, 0.0));
                }
            }
        }
        if let Some(sums) = sums {
            panel_sums.add_to(sums);
        }
    }
}

/// Sums of the columns of a panel.
struct PanelSums<L: Lanes> {
    low: L::V,
    high: L::V,
}

impl<L: Lanes> PanelSums<L> {
    #[inline(always)]
    fn new() -> Self {
        Self { low: L::zero(), high: L::zero() }
    }

    #[inline(always)]
    fn add(&mut self, low: L::V, high: L::V) {
        (self.low, self.high) = (L::add(self.low, low), L::add(self.high, high));
    }

    #[inline(always)]
    fn add_to(self, sums: &mut [f32]) {
        let (low, high) = sums.split_at_mut(L::N);
        write::<L>(low, L::add(read::<L>(low), self.low));
        write::<L>(high, L::add(read::<L>(high), self.high));
    }
}
