//! How alike the rows of several views are, and what is left out.

use std::ops::Range;

use plugin_api::{ConfigError, LossRange, ObjectiveContext, ObjectiveInputs};
use tensor_ops::{
    Features, OpError, Recording, Rows as _, Scalar, concat_rows_of, diagonal, features_from_rows, fork,
    l2_normalize, log_softmax, matmul_transposed, number, plus, scale_loss, scaled, slice_columns,
    slice_rows, sum_all, sum_losses, top1_row,
};

/// Added to a similarity that does not count: as good as minus infinity, and no NaN comes of it.
const LEFT_OUT: f32 = -1e30;

/// The embeddings of two views, both trained.
pub(crate) fn two_views(
    plugin: &'static str,
    context: &ObjectiveContext,
) -> Result<ObjectiveInputs, ConfigError> {
    ObjectiveInputs::two_views(plugin, context, "there is nothing to tell an image from")
}

/// Cosines of all rows of `views` with all, over the temperature: `(V N, V N)`, view after view.
pub(crate) fn similarities(views: Vec<Features>, temperature: f64) -> Result<Features, OpError> {
    let (rows, others) = fork(l2_normalize(concat_rows_of(views)?)?);
    scaled(matmul_transposed(rows, others)?, (1.0 / temperature) as f32)
}

/// What the rows of one view have for those of another, image by image: `(N, 1)`.
pub(crate) fn of_view(all: Features, rows: Range<usize>, columns: Range<usize>) -> Result<Features, OpError> {
    diagonal(slice_columns(slice_rows(all, rows)?, columns)?)
}

/// `similarities`, but for those that `is_left_out` names by row and column.
pub(crate) fn without(
    similarities: Features,
    is_left_out: impl Fn(usize, usize) -> bool,
) -> Result<Features, OpError> {
    let n = similarities.n();
    let mask = (0..n * n).map(|i| if is_left_out(i / n, i % n) { LEFT_OUT } else { 0.0 }).collect();
    let mask = features_from_rows(&similarities.device().clone(), (n, n), mask, Recording::Off)?;
    plus(similarities, mask)
}

/// A cross entropy of two views, and how often it is right.
pub(crate) struct Told {
    pub(crate) loss: Scalar,
    pub(crate) value: f32,
    /// The share of the `2 N` rows whose most similar other row is the other view.
    pub(crate) top1: f32,
}

/// The cross entropy of the other view among all rows but the own one: SimCLR's loss, the mean over `2 N` rows.
pub(crate) fn nt_xent(first: Features, second: Features, temperature: f64) -> Result<Told, OpError> {
    let n = first.n();
    let others = without(similarities(vec![first, second], temperature)?, |row, column| row == column)?;
    let top1 = share_of_own_view(&others, n);
    // Not the difference of two sums, of which little may be left.
    let (of_first, of_second) = fork(log_softmax(others)?);
    let of_first = of_view(of_first, 0..n, n..2 * n)?;
    let of_second = of_view(of_second, n..2 * n, 0..n)?;
    let sum = sum_losses(vec![sum_all(of_first)?, sum_all(of_second)?])?;
    let loss = scale_loss(sum, -1.0 / (2 * n) as f32)?;
    let value = number(&loss);
    Ok(Told { loss, value, top1 })
}

/// The share of rows whose most similar row is the other view.
fn share_of_own_view(others: &Features, n: usize) -> f32 {
    let nearest = top1_row(others);
    let n_right = nearest.iter().enumerate().filter(|(row, near)| **near == (row + n) % (2 * n)).count();
    n_right as f32 / (2 * n) as f32
}

/// Of [`nt_xent`]: all rows alike, and rows of other images at right angles.
pub(crate) fn nt_xent_range(n: usize, temperature: f64) -> LossRange {
    let n_wrong = 2.0 * n as f64 - 2.0;
    LossRange { chance: n_wrong.ln_1p(), floor: (n_wrong * (-1.0 / temperature).exp()).ln_1p() }
}
