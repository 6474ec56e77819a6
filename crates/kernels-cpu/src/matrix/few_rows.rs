//! Few rows by a matrix: tasks are ranges of columns, which pack their own.

use rayon::prelude::*;

use super::{Side, pack_plain_panel, pack_transposed_panel};
use crate::{
    cut::lens,
    memory::{ELEMENTWISE_LEN, build},
    simd::{Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
};

/// Panels of columns that one task computes.
const FEW_ROWS_PANELS: usize = 4;

/// Steps that are packed at a time, at most: a panel of them stays in the first-level cache.
const FEW_ROWS_STEPS: usize = 384;

/// `a * b`, row after row; `a` lies row after row.
pub(super) fn multiply(family: Family, a: &[f32], b: Side<'_>) -> Vec<f32> {
    let n_rows = a.len() / b.n_rows;
    let width = FEW_ROWS_PANELS * family.panel();
    let ranges: Vec<Vec<f32>> = (0..b.n_columns)
        .step_by(width)
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|first| {
            family.run(ColumnsProduct { a, n_rows, b, first, n_columns: width.min(b.n_columns - first) })
        })
        .collect();
    if ranges.len() == 1 {
        return ranges.into_iter().next().unwrap_or_default();
    }
    let rows_in_part = (ELEMENTWISE_LEN / b.n_columns).max(1);
    build(&lens(n_rows * b.n_columns, rows_in_part * b.n_columns), |part_idx, part| {
        for (row, out) in part.chunks_exact_mut(b.n_columns).enumerate() {
            let row = part_idx * rows_in_part + row;
            for (range, out) in ranges.iter().zip(out.chunks_mut(width)) {
                out.copy_from_slice(&range[row * out.len()..][..out.len()]);
            }
        }
    })
}

/// The columns `first..first + n_columns` of a product.
struct ColumnsProduct<'a> {
    a: &'a [f32],
    n_rows: usize,
    b: Side<'a>,
    first: usize,
    n_columns: usize,
}

impl Kernel for ColumnsProduct<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Vec<f32> {
        let Self { a, n_rows, b, first, n_columns } = self;
        let panel = 2 * L::N;
        let n_passes = b.n_rows.div_ceil(FEW_ROWS_STEPS);
        let mut packed = vec![0.0; b.n_rows.div_ceil(n_passes) * panel];
        let mut out = vec![0.0; n_rows * n_columns];
        for pass in 0..n_passes {
            let (start, end) = (b.n_rows * pass / n_passes, b.n_rows * (pass + 1) / n_passes);
            let segments = [Segment { a: 0, b: 0, n_steps: end - start }];
            let mode = if pass == 0 { TileMode::Store } else { TileMode::Add };
            for at in (0..n_columns).step_by(panel) {
                let width = panel.min(n_columns - at);
                pack::<L>(b, (start, end), first + at, width, &mut packed);
                let operands = Operands {
                    a: &a[start..],
                    a_row: b.n_rows,
                    a_step: 1,
                    b: &packed,
                    b_step: 2 * L::N,
                    segments: &segments,
                };
                multiply_rows::<L, _, _>(operands, n_rows, &mut out[at..], n_columns, width, mode);
            }
        }
        out
    }
}

/// Steps `start..end` of the panel from column `first` on.
#[inline(always)]
fn pack<L: Lanes>(b: Side<'_>, (start, end): (usize, usize), first: usize, width: usize, packed: &mut [f32]) {
    let sizes = (end - start, width);
    if width < 2 * L::N {
        packed.fill(0.0);
    }
    if b.is_transposed {
        pack_transposed_panel::<L>(&b.values[first * b.n_rows + start..], b.n_rows, sizes, packed);
    } else {
        pack_plain_panel::<L>(&b.values[start * b.n_columns + first..], b.n_columns, sizes, packed);
    }
}
