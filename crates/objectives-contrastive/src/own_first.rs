//! A row's own key, in the first column, told from past keys in the others.

use plugin_api::{Evaluated, LossRange};
use tensor_ops::{
    Features, OpError, Rows as _, log_softmax, scale_loss, scaled, slice_columns, sum_all, to_rows,
};

/// MoCo's loss of `cosines`, `(N, 1 + negatives)`, averaged over rows. Its metric is the share of rows whose own key is nearest.
pub(crate) fn own_first(cosines: Features, temperature: f64) -> Result<Evaluated, OpError> {
    let n = cosines.n();
    let n_right = n_right(&cosines);
    let told = log_softmax(scaled(cosines, (1.0 / temperature) as f32)?)?;
    let loss = scale_loss(sum_all(slice_columns(told, 0..1)?)?, -1.0 / n as f32)?;
    Ok(Evaluated::new(loss, vec![n_right as f32 / n as f32]))
}

/// All rows alike, and negatives at right angles to a query that is its key.
pub(crate) fn own_first_range(n_negatives: usize, temperature: f64) -> LossRange {
    let n_negatives = n_negatives as f64;
    let floor = (n_negatives * (-1.0 / temperature).exp()).ln_1p();
    LossRange { chance: n_negatives.ln_1p(), floor }
}

/// Rows whose first value is larger than all others. A tie counts against, as with `queue`.
fn n_right(cosines: &Features) -> usize {
    let is_right = |row: &[f32]| row[1..].iter().all(|other| *other < row[0]);
    to_rows(cosines).chunks(cosines.d()).filter(|row| is_right(row)).count()
}
