//! Products of matrices that stay in a core's caches: one operand is packed into panels where it is used.

use std::{marker::PhantomData, ops::Range};

use crate::simd::{
    Element, Lanes, Operands, Segment, TileMode, for_registers, multiply_rows, read_some, transpose,
    write_some,
};

/// RowsOfWords of values, one after the other, in words: a word is an `f32`, or two bfloat16 side by side.
#[derive(Clone, Copy)]
pub(crate) struct RowsOfWords<'a, E> {
    words: &'a [f32],
    /// Values of a row: a whole number of words.
    len: usize,
    elements: PhantomData<E>,
}

impl<'a, E: Element> RowsOfWords<'a, E> {
    /// RowsOfWords of `len` values.
    #[inline(always)]
    pub(crate) fn new(words: &'a [f32], len: usize) -> Self {
        assert!(len.is_multiple_of(E::PER_STEP), "a row is a whole number of words");
        Self { words, len, elements: PhantomData }
    }

    /// How many.
    #[inline(always)]
    pub(crate) fn n(self) -> usize {
        self.words.len() / self.n_words()
    }

    /// Some of them.
    #[inline(always)]
    pub(crate) fn some(self, rows: Range<usize>) -> Self {
        let len = self.n_words();
        Self { words: &self.words[rows.start * len..rows.end * len], ..self }
    }

    /// Packed with a column a row, `[panel of rows][word of a row][row]`: as the transpose. Zeros after the last row.
    #[inline(always)]
    pub(crate) fn pack_as_columns<L: Lanes>(self, to: &mut [f32]) {
        let (panel, n_words) = (2 * L::N, self.n_words());
        let panels = self.words.chunks(panel * n_words).zip(to.chunks_exact_mut(panel * n_words));
        for (rows, to) in panels {
            let n = rows.len() / n_words;
            if n < panel {
                to.fill(0.0);
            }
            transpose::<L>(rows, n_words, (n, n_words), to, panel);
        }
    }

    /// Packed with a column a value, `[panel of values][step of rows][value]`. Zeros after the last value and row.
    #[inline(always)]
    pub(crate) fn pack<L: Lanes>(self, to: &mut [f32]) {
        let (panel, len) = (2 * L::N, self.len);
        let n_steps = self.n().div_ceil(E::PER_STEP);
        let values = E::of_words(self.words);
        for (panel_idx, to) in to.chunks_exact_mut(n_steps * panel).take(len.div_ceil(panel)).enumerate() {
            let columns = panel_idx * panel..len.min((panel_idx + 1) * panel);
            for (rows, to) in values.chunks(E::PER_STEP * len).zip(to.chunks_exact_mut(panel)) {
                pack_step::<L, E>(rows, len, columns.clone(), to);
            }
        }
    }

    /// Words of [`pack_as_columns`](Self::pack_as_columns) of `n` rows of `len` values, for panels of so many columns.
    pub(crate) fn room_as_columns(n: usize, len: usize, panel: usize) -> usize {
        n.next_multiple_of(panel) * (len / E::PER_STEP)
    }

    /// Words of [`pack`](Self::pack), likewise.
    pub(crate) fn room(n: usize, len: usize, panel: usize) -> usize {
        len.next_multiple_of(panel) * n.div_ceil(E::PER_STEP)
    }

    /// Words of a row.
    #[inline(always)]
    fn n_words(self) -> usize {
        self.len / E::PER_STEP
    }

    /// As the left operand of a product.
    #[inline(always)]
    pub(crate) fn left(self) -> Left<'a, E> {
        Left {
            values: E::of_words(self.words),
            row: self.len,
            step: E::PER_STEP,
            n_rows: self.n(),
            n_steps: self.n_words(),
        }
    }
}

/// Some columns of the rows of one step.
#[inline(always)]
fn pack_step<L: Lanes, E: Element>(rows: &[E], len: usize, columns: Range<usize>, to: &mut [f32]) {
    if E::PER_STEP == 2 {
        let second = rows.get(len + columns.start..len + columns.end).unwrap_or_default();
        E::pack_pairs::<L>(&rows[columns], second, to);
        return;
    }
    let n_columns = columns.len();
    let row = &rows[columns];
    for_registers!(L, n_columns, |at, n| {
        write_some::<L, _>(to, at, n, read_some::<L, _>(row, at, n, 0.0));
    });
    to[n_columns..].fill(0.0);
}

/// The left operand of a product: what a step multiplies of row `i` starts at `i * row + step * step`, see the fields.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a, E> {
    pub(crate) values: &'a [E],
    /// From one row to the next.
    pub(crate) row: usize,
    /// From one step to the next.
    pub(crate) step: usize,
    pub(crate) n_rows: usize,
    pub(crate) n_steps: usize,
}

impl<E: Element> Left<'_, E> {
    /// `out = self * b`, or `out += self * b`, for the panels `b`, of `n_columns` columns in all.
    #[inline(always)]
    pub(crate) fn multiply<L: Lanes>(
        self,
        b: &[f32],
        n_columns: usize,
        out: &mut [f32],
        out_row: usize,
        mode: TileMode<'_>,
    ) {
        let panel = 2 * L::N;
        let segments = [Segment { a: 0, b: 0, n_steps: self.n_steps }];
        for (panel_idx, first) in (0..n_columns).step_by(panel).enumerate() {
            let operands = Operands {
                a: self.values,
                a_row: self.row,
                a_step: self.step,
                b: E::of_words(&b[panel_idx * self.n_steps * panel..]),
                b_step: panel * E::PER_STEP,
                segments: &segments,
            };
            let width = panel.min(n_columns - first);
            multiply_rows::<L, _, _>(operands, self.n_rows, &mut out[first..], out_row, width, mode);
        }
    }
}
