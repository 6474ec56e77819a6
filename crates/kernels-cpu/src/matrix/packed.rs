//! A whole matrix in panels.

use super::{
    Side, multiplies_pairs,
    panels::{pack_plain_pairs, pack_plain_panel, pack_transposed_pairs, pack_transposed_panel},
};
use crate::{
    Precision,
    memory::build,
    simd::{Family, Kernel, Lanes},
};

/// A matrix as the right operand of products: `[panel of columns][step][column]`; columns past the last are zeros.
///
/// A step is a row of the matrix or, if pairs of bfloat16 are multiplied, two, which share a word.
pub struct Packed {
    pub(crate) family: Family,
    pub(crate) values: Vec<f32>,
    /// Rows of the matrix: the inner dimension.
    pub(crate) n_inner: usize,
    pub(crate) n_columns: usize,
    pub(crate) is_in_pairs: bool,
}

impl Packed {
    /// Packs for the instructions of `family`, and for values that are kept in `precision`.
    pub fn new(family: Family, b: Side<'_>, precision: Precision) -> Self {
        let panel = family.panel();
        let is_in_pairs = multiplies_pairs(family, precision, b.n_rows);
        let n_steps = if is_in_pairs { b.n_rows / 2 } else { b.n_rows };
        let panel_len = n_steps * panel;
        let values = build(&vec![panel_len; b.n_columns.div_ceil(panel)], |panel_idx, to| {
            family.run(PackPanel { b, first: panel_idx * panel, is_in_pairs, to });
        });
        Self { family, values, n_inner: b.n_rows, n_columns: b.n_columns, is_in_pairs }
    }

    /// Words of a panel.
    fn panel_len(&self) -> usize {
        let n_steps = if self.is_in_pairs { self.n_inner / 2 } else { self.n_inner };
        n_steps * self.family.panel()
    }

    /// Panels, with the first column of each.
    pub fn panels(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let panel = self.family.panel();
        self.values.chunks_exact(self.panel_len()).enumerate().map(move |(idx, values)| (idx * panel, values))
    }
}

struct PackPanel<'a> {
    b: Side<'a>,
    first: usize,
    is_in_pairs: bool,
    to: &'a mut [f32],
}

impl Kernel for PackPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { b, first, is_in_pairs, to } = self;
        let n_columns = (2 * L::N).min(b.n_columns - first);
        let sizes = (b.n_rows, n_columns);
        match (b.is_transposed, is_in_pairs) {
            (false, false) => pack_plain_panel::<L>(&b.values[first..], b.n_columns, sizes, to),
            (true, false) => pack_transposed_panel::<L>(&b.values[first * b.n_rows..], b.n_rows, sizes, to),
            (false, true) => pack_plain_pairs::<L>(&b.values[first..], b.n_columns, sizes, to),
            (true, true) => {
                pack_transposed_pairs::<L>(&b.values[first * b.n_rows..][..n_columns * b.n_rows], sizes, to);
            }
        }
    }
}
