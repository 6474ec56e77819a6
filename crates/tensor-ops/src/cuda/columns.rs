//! Sums over rows.

use cudarc::driver::{CudaSlice, DeviceSlice};
use dfdx::tensor::CudaError;

use super::{array::unwritten, launch::Launch, program::Program};

pub(super) static COLUMNS: Program = Program::new("columns", include_str!("kernels/columns.cu"), "");

/// How rows are cut among blocks: enough chunks to keep a large device busy, few enough to add quickly.
pub(super) struct Chunks {
    pub(super) n: usize,
    pub(super) rows: usize,
}

impl Chunks {
    pub(super) fn of(n_rows: usize) -> Self {
        const MOST: usize = 256;
        const LEAST_ROWS: usize = 64;
        let rows = n_rows.div_ceil(MOST).max(LEAST_ROWS);
        Self { n: n_rows.div_ceil(rows).max(1), rows }
    }
}

/// The sum of all rows of `n_columns` values.
pub(super) fn sum_rows(values: &CudaSlice<f32>, n_columns: usize) -> Result<CudaSlice<f32>, CudaError> {
    let n_rows = values.len() / n_columns;
    let chunks = Chunks::of(n_rows);
    let mut partial = unwritten::<f64>(chunks.n * n_columns)?;
    Launch::new(&COLUMNS, "sum_rows_partial")
        .read(values)
        .write(&mut partial)
        .long(n_rows)
        .int(n_columns)
        .long(chunks.rows)
        .blocks(n_columns.div_ceil(32), chunks.n, 1)?;
    finish_sums(&partial, chunks.n, n_columns)
}

/// The sum of what the chunks found, `(chunks, columns)`, in their order.
pub(super) fn finish_sums(
    partial: &CudaSlice<f64>,
    n_chunks: usize,
    n_columns: usize,
) -> Result<CudaSlice<f32>, CudaError> {
    let mut sum = unwritten(n_columns)?;
    Launch::new(&COLUMNS, "sum_rows_finish")
        .read(partial)
        .write(&mut sum)
        .int(n_chunks)
        .int(n_columns)
        .blocks(n_columns.div_ceil(32), 1, 1)?;
    Ok(sum)
}
