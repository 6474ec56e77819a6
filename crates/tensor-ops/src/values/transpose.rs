//! From the order of our axes to that of PyTorch, and back.

/// `(rows, columns, width)` to `(columns, rows, width)`.
pub(super) fn transpose(values: &[f32], n_rows: usize, n_columns: usize, width: usize) -> Vec<f32> {
    let mut result = Vec::with_capacity(values.len());
    for column in 0..n_columns {
        for row in 0..n_rows {
            let start = (row * n_columns + column) * width;
            result.extend_from_slice(&values[start..start + width]);
        }
    }
    result
}
