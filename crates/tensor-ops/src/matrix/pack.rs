//! Panels of columns, in the order that a tile reads them.

use super::Side;
use crate::{
    memory::build,
    simd::{Family, Kernel, Lanes, transpose},
};

/// A matrix as the right operand of products: `[panel of columns][step][column]`; columns past the last are zeros.
pub(crate) struct Packed {
    pub(super) family: Family,
    pub(super) values: Vec<f32>,
    /// Rows of the matrix: steps of the inner product.
    pub(super) n_steps: usize,
    pub(super) n_columns: usize,
}

impl Packed {
    /// Packs for the instructions of `family`.
    pub(crate) fn new(family: Family, b: Side<'_>) -> Self {
        let panel = family.panel();
        let values = build(&vec![b.n_rows * panel; b.n_columns.div_ceil(panel)], |panel_idx, to| {
            family.run(PackPanel { b, first: panel_idx * panel, to });
        });
        Self { family, values, n_steps: b.n_rows, n_columns: b.n_columns }
    }

    /// Panels, with the first column of each.
    pub(super) fn panels(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let panel = self.family.panel();
        self.values
            .chunks_exact(self.n_steps * panel)
            .enumerate()
            .map(move |(idx, values)| (idx * panel, values))
    }
}

struct PackPanel<'a> {
    b: Side<'a>,
    first: usize,
    to: &'a mut [f32],
}

impl Kernel for PackPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { b, first, to } = self;
        let n_columns = (2 * L::N).min(b.n_columns - first);
        if b.is_transposed {
            pack_transposed_panel::<L>(&b.values[first * b.n_rows..], b.n_rows, (b.n_rows, n_columns), to);
        } else {
            pack_plain_panel::<L>(&b.values[first..], b.n_columns, (b.n_rows, n_columns), to);
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
