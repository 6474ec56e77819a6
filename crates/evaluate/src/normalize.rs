//! L2 normalization.

use rayon::prelude::*;

/// L2-normalizes rows `(N, D)`. A row of zeros stays zero.
pub(crate) fn unit_rows(rows: &[f32], d: usize) -> Vec<f32> {
    let mut unit = rows.to_vec();
    unit.par_chunks_mut(d.max(1)).for_each(|row| {
        let length = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        let per_length = 1.0 / length.max(1e-12);
        row.iter_mut().for_each(|value| *value = (f64::from(*value) * per_length) as f32);
    });
    unit
}
