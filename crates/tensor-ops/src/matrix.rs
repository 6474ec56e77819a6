//! Products of matrices on the host.

use rayon::prelude::*;

use crate::{
    memory::{TASK_LEN, build},
    simd::{Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
};

/// A matrix as an operand: itself, or transposed.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    values: &'a [f32],
    n_rows: usize,
    n_columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Side<'a> {
    /// A matrix that lies row after row.
    pub(crate) fn plain(values: &'a [f32], n_rows: usize, n_columns: usize) -> Self {
        Self { values, n_rows, n_columns, row_stride: n_columns, column_stride: 1 }
    }

    /// The transpose of a matrix of `n_rows` by `n_columns` that lies row after row.
    pub(crate) fn transposed(values: &'a [f32], n_rows: usize, n_columns: usize) -> Self {
        Self { values, n_rows: n_columns, n_columns: n_rows, row_stride: 1, column_stride: n_columns }
    }
}

/// Panels of columns that one task computes.
const TASK_PANELS: usize = 4;

/// `a * b`, row after row.
///
/// # Panics
///
/// When the inner sizes differ: callers check.
pub(crate) fn multiply(a: Side<'_>, b: Side<'_>) -> Vec<f32> {
    assert_eq!(a.n_columns, b.n_rows, "inner sizes of a product");
    let family = Family::detected();
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
            pack(b, first, n_columns, packed, panel);
        }
        let mut out = vec![0.0; a.n_rows * n_columns];
        let segments = [Segment { a: 0, b: 0, n_steps }];
        for (panel_idx, b) in packed.chunks_exact(n_steps * panel).enumerate() {
            let first = panel_idx * panel;
            let operands = Operands {
                a: a.values,
                a_row: a.row_stride,
                a_step: a.column_stride,
                b,
                segments: &segments,
            };
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

#[inline(always)]
fn pack(b: Side<'_>, first: usize, n_columns: usize, packed: &mut [f32], panel: usize) {
    if b.column_stride == 1 {
        for (step, to) in packed.chunks_exact_mut(panel).enumerate() {
            let from = &b.values[step * b.row_stride + first..][..n_columns];
            to[..n_columns].copy_from_slice(from);
        }
        return;
    }
    for column in 0..n_columns {
        let from = &b.values[(first + column) * b.column_stride..][..b.n_rows];
        for (to, from) in packed[column..].iter_mut().step_by(panel).zip(from) {
            *to = *from;
        }
    }
}
