//! How one image's heads lie in memory, and panels of them.

use std::ops::Range;

use crate::{
    matrix::{pack_plain_panel, pack_transposed_panel},
    simd::{Lanes, Operands, Segment, TileMode, multiply_rows},
};

/// Queries whose logits exist at a time, at most.
const MAX_QUERIES: usize = 96;

/// The sizes of one image.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Tokens.
    pub t: usize,
    /// Heads.
    pub heads: usize,
    /// Features of a head.
    pub dh: usize,
}

impl Sizes {
    /// Features of all heads.
    pub fn d(self) -> usize {
        self.heads * self.dh
    }

    /// Features of queries, keys and values.
    pub fn width(self) -> usize {
        3 * self.d()
    }

    /// Where queries, keys and values of a head start in a token.
    pub fn starts(self, head: usize) -> [usize; 3] {
        [0, 1, 2].map(|part| part * self.d() + head * self.dh)
    }

    /// The queries, cut into blocks of nearly the same length.
    pub fn query_blocks(self) -> impl Iterator<Item = Range<usize>> {
        let n_blocks = self.t.div_ceil(MAX_QUERIES);
        (0..n_blocks).map(move |block| self.t * block / n_blocks..self.t * (block + 1) / n_blocks)
    }

    /// Queries in a block at most.
    pub fn max_block(self) -> usize {
        self.query_blocks().map(|block| block.len()).max().unwrap_or(0)
    }

    /// Keys, rounded up to panels.
    pub(super) fn padded_keys<L: Lanes>(self) -> usize {
        self.t.next_multiple_of(2 * L::N)
    }
}

/// Rows of a head's features: a part of every token, `row` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// From the first row's first feature on.
    pub(super) values: &'a [f32],
    /// From one row to the next.
    pub(super) row: usize,
    /// How many.
    pub(super) n: usize,
    /// Features.
    pub(super) dh: usize,
}

impl Rows<'_> {
    /// Packed with a column a row, `[panel of rows][feature][row]`; zeros after the last row.
    #[inline(always)]
    pub(super) fn pack_as_columns<L: Lanes>(self, to: &mut [f32]) {
        let panel = 2 * L::N;
        for (panel_idx, to) in to.chunks_exact_mut(self.dh * panel).enumerate() {
            let first = panel_idx * panel;
            let sizes = (self.dh, panel.min(self.n - first));
            pack_transposed_panel::<L>(&self.values[first * self.row..], self.row, sizes, to);
        }
    }

    /// Packed with a column a feature, `[panel of features][row][feature]`; zeros after the last feature.
    #[inline(always)]
    pub(super) fn pack<L: Lanes>(self, to: &mut [f32]) {
        let panel = 2 * L::N;
        for (panel_idx, to) in to.chunks_exact_mut(self.n * panel).take(self.dh.div_ceil(panel)).enumerate() {
            let first = panel_idx * panel;
            let sizes = (self.n, panel.min(self.dh - first));
            pack_plain_panel::<L>(&self.values[first..], self.row, sizes, to);
        }
    }

    /// Room for [`pack_as_columns`](Self::pack_as_columns) of `n` rows of `dh` features.
    pub(super) fn len_as_columns<L: Lanes>(n: usize, dh: usize) -> usize {
        n.next_multiple_of(2 * L::N) * dh
    }

    /// Room for [`pack`](Self::pack) of `n` rows of `dh` features.
    pub(super) fn len<L: Lanes>(n: usize, dh: usize) -> usize {
        dh.next_multiple_of(2 * L::N) * n
    }
}

/// The left operand of a product: element `(row, step)` is at `row * row_stride + step * step_stride`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [f32],
    pub(super) row: usize,
    pub(super) step: usize,
    pub(super) n_rows: usize,
    pub(super) n_steps: usize,
}

impl Left<'_> {
    /// `out = self * b`, or `out += self * b`, for the panels `b`, of `n_columns` columns in all.
    #[inline(always)]
    pub(super) fn multiply<L: Lanes>(
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
                b: &b[panel_idx * self.n_steps * panel..],
                b_step: panel,
                segments: &segments,
            };
            let width = panel.min(n_columns - first);
            multiply_rows::<L, _, _>(operands, self.n_rows, &mut out[first..], out_row, width, mode);
        }
    }
}
