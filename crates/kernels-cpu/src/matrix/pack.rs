//! Panels of columns, in the order that a tile reads them.

use super::{Side, multiplies_pairs};
use crate::{
    Precision,
    memory::build,
    scratch::with_scratch,
    simd::{Element, Family, Kernel, Lanes, halves_of, rounded, transpose},
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
fn pack_plain_pairs<L: Lanes>(
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
