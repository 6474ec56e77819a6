//! Few rows by a matrix: tasks are strips of columns, which pack their own.

use rayon::prelude::*;

use super::{Side, pack_plain_panel, pack_transposed_panel};
use crate::{
    memory::{TASK_LEN, build},
    simd::{Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
};

/// Panels of columns that one task computes.
const TASK_PANELS: usize = 4;

/// `a * b`, row after row.
///
/// # Panics
///
/// When the inner sizes differ: callers check.
pub(super) fn multiply(family: Family, a: Side<'_>, b: Side<'_>) -> Vec<f32> {
    assert_eq!(a.n_columns, b.n_rows, "inner sizes of a product");
    let width = TASK_PANELS * family.panel();
    let strips: Vec<Vec<f32>> = (0..b.n_columns)
        .step_by(width)
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|first| family.run(Strip { a, b, first, n_columns: width.min(b.n_columns - first) }))
        .collect();
    if strips.len() == 1 {
        return strips.into_iter().next().unwrap_or_default();
    }
    let rows_in_part = (TASK_LEN / b.n_columns).max(1);
    let part_lens: Vec<usize> = (0..a.n_rows)
        .step_by(rows_in_part)
        .map(|row| rows_in_part.min(a.n_rows - row) * b.n_columns)
        .collect();
    build(&part_lens, |part_idx, part| {
        for (row, out) in part.chunks_exact_mut(b.n_columns).enumerate() {
            let row = part_idx * rows_in_part + row;
            for (strip, out) in strips.iter().zip(out.chunks_mut(width)) {
                out.copy_from_slice(&strip[row * out.len()..][..out.len()]);
            }
        }
    })
}

/// The columns `first..first + n_columns` of a product.
struct Strip<'a> {
    a: Side<'a>,
    b: Side<'a>,
    first: usize,
    n_columns: usize,
}

impl Kernel for Strip<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Vec<f32> {
        let Self { a, b, first, n_columns } = self;
        let panel = 2 * L::N;
        let n_steps = b.n_rows;
        let mut packed = vec![0.0; n_columns.div_ceil(panel) * n_steps * panel];
        for (panel_idx, packed) in packed.chunks_exact_mut(n_steps * panel).enumerate() {
            let first = first + panel_idx * panel;
            let n_columns = panel.min(b.n_columns - first);
            let sizes = (n_steps, n_columns);
            if b.is_transposed {
                pack_transposed_panel::<L>(&b.values[first * n_steps..], n_steps, sizes, packed);
            } else {
                pack_plain_panel::<L>(&b.values[first..], b.n_columns, sizes, packed);
            }
        }
        let (a_row, a_step) = if a.is_transposed { (1, a.n_rows) } else { (a.n_columns, 1) };
        let mut out = vec![0.0; a.n_rows * n_columns];
        let segments = [Segment { a: 0, b: 0, n_steps }];
        for (panel_idx, b) in packed.chunks_exact(n_steps * panel).enumerate() {
            let first = panel_idx * panel;
            let operands = Operands { a: a.values, a_row, a_step, b, segments: &segments };
            let n_columns_here = panel.min(n_columns - first);
            multiply_rows::<L>(
                operands,
                a.n_rows,
                &mut out[first..],
                n_columns,
                n_columns_here,
                TileMode::Store,
            );
        }
        out
    }
}
