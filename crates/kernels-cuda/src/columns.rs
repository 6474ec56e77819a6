//! Sums over rows.

use crate::{
    array::Array, error::Result, launch::Launch, memory::Memory, pointwise::typed, program::Program,
};

pub(crate) static COLUMNS: Program =
    Program::new("columns", include_str!("kernels/columns.cu"), include_str!("kernels/columns_typed.cu"));

/// How rows are cut among blocks: enough chunks to keep a large device busy, few enough to add quickly. Numbers and not the
/// device's own, so that sums are cut alike on all.
pub(crate) struct Chunks {
    pub(crate) n: usize,
    pub(crate) rows: usize,
}

impl Chunks {
    pub(crate) fn of(n_rows: usize) -> Self {
        const MOST: usize = 256;
        const LEAST_ROWS: usize = 64;
        let rows = n_rows.div_ceil(MOST).max(LEAST_ROWS);
        Self { n: n_rows.div_ceil(rows).max(1), rows }
    }
}

/// The sum of all rows of `n_columns` values, in single precision.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the values are no whole rows.
pub fn sum_rows(values: &Array, n_columns: usize) -> Result<Array> {
    assert!(values.len().is_multiple_of(n_columns), "values are whole rows");
    let n_rows = values.len() / n_columns;
    let chunks = Chunks::of(n_rows);
    let mut partial = Memory::<f64>::unwritten(chunks.n * n_columns)?;
    // SAFETY: there are so many rows, and each chunk of them has a row of sums.
    unsafe {
        Launch::new(&COLUMNS, typed!(values.precision(), "sum_rows_partial"))
            .read_array(values)
            .write(&mut partial)
            .long(n_rows)
            .int(n_columns)
            .long(chunks.rows)
            .blocks(n_columns.div_ceil(32), chunks.n, 1)
    }?;
    finish_sums(&partial, chunks.n, n_columns)
}

/// The sum of what the chunks found, `(chunks, columns)`, in their order.
pub(crate) fn finish_sums(partial: &Memory<f64>, n_chunks: usize, n_columns: usize) -> Result<Array> {
    assert!(partial.len() >= n_chunks * n_columns, "each chunk has a row of sums");
    let mut sum = Memory::unwritten(n_columns)?;
    // SAFETY: both arrays are that long.
    unsafe {
        Launch::new(&COLUMNS, "sum_rows_finish")
            .read(partial)
            .write(&mut sum)
            .int(n_chunks)
            .int(n_columns)
            .blocks(n_columns.div_ceil(32), 1, 1)
    }?;
    Ok(Array::F32(sum))
}
