//! InfoNCE against the keys of the other images of the batch.

use super::info_nce::{Factors, contrast};
use crate::{
    Features, InfoNce, KeepLogits, Matrix, OpError, Rows as _,
    backend::{Backend, Candidates, on},
    values::Place,
};

/// `2 T` times the cross-entropy of `q · keysᵀ / T`, in nats, averaged over the queries (Chen et al. 2021,
/// arXiv:2104.02057, algorithm 1).
///
/// `q`: `(N, C)`. `keys`: `(M, C)`, those of all processes; the positive of query `i` is key `first + i`. All rows are of
/// unit length. Only `q` gets a gradient. Logits, if kept, are `q·k / T`, `(N, M)`, in the order of
/// the keys.
///
/// The factor `2 T` makes the size of the gradient independent of the temperature, as in the reference.
///
/// Each task has a few queries, and goes through the keys block by block, with the maximum, the sum and the weighted mean
/// of keys so far: the logits of one block exist at a time.
///
/// # Errors
///
/// When the widths differ, a positive lies outside of the keys, or the temperature is not positive.
pub fn info_nce_in_batch(
    q: Features,
    keys: &Matrix,
    first: usize,
    temperature: f32,
    keep: KeepLogits,
) -> Result<InfoNce, OpError> {
    on!(Place::of_process(), |backend| info_nce_on(backend, q, keys, first, temperature, keep))
}

fn info_nce_on<B: Backend>(
    backend: B,
    q: Features,
    keys: &Matrix,
    first: usize,
    temperature: f32,
    keep: KeepLogits,
) -> Result<InfoNce, OpError> {
    check((q.n(), q.d()), (keys.n(), keys.d()), first, temperature)?;
    let n_keys = keys.n();
    let keys = &backend.of_matrix(keys)?;
    // d loss / d q = 2 T * (mean key under the softmax - positive key) / (T * N)
    let factors = Factors {
        op: "info_nce_in_batch",
        n_keys,
        loss: 2.0 * f64::from(temperature),
        gradient: 2.0 / q.n() as f64,
    };
    contrast(backend, q, Candidates::Keys { keys, first }, temperature, keep, factors)
}

fn check(q: (usize, usize), keys: (usize, usize), first: usize, temperature: f32) -> Result<(), OpError> {
    const OP: &str = "info_nce_in_batch";
    if keys.1 != q.1 {
        return Err(OpError::shape(OP, "width of the keys", q.1, keys.1));
    }
    if q.0 == 0 || q.1 == 0 {
        return Err(OpError::value(OP, "shape of the queries", q, "every size must be at least 1"));
    }
    if first.checked_add(q.0).is_none_or(|end| end > keys.0) {
        let must = "each query must have its positive among the keys";
        return Err(OpError::value(OP, "place of the first positive", first, must));
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(OpError::value(OP, "temperature", temperature, "it must be positive"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
