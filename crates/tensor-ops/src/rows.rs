//! Rows of channels: what a feature map is to an operation that does not care about positions.

use rayon::prelude::*;

use crate::memory::TASK_LEN;

/// Rows of `c` values that one task handles.
pub(crate) fn rows_in_task(c: usize) -> usize {
    (TASK_LEN / c).max(1)
}

/// Adds `row` to every row.
pub(crate) fn add_to_rows(values: &mut [f32], row: &[f32]) {
    values.par_chunks_mut(rows_in_task(row.len()) * row.len()).for_each(|rows| {
        for to in rows.chunks_exact_mut(row.len()) {
            for (to, value) in to.iter_mut().zip(row) {
                *to += value;
            }
        }
    });
}

/// The sum of all rows of `c` values.
pub(crate) fn sum_rows(values: &[f32], c: usize) -> Vec<f32> {
    let partial: Vec<Vec<f32>> = values
        .par_chunks(rows_in_task(c) * c)
        .map(|rows| {
            let mut sum = vec![0.0; c];
            for row in rows.chunks_exact(c) {
                for (sum, value) in sum.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            sum
        })
        .collect();
    let mut total = vec![0.0_f64; c];
    for partial in partial {
        for (total, value) in total.iter_mut().zip(partial) {
            *total += f64::from(value);
        }
    }
    total.into_iter().map(|total| total as f32).collect()
}
