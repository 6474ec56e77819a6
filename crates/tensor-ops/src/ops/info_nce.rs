//! InfoNCE against a queue of negatives.

use crate::{
    Buffer, Features, Matrix, OpError, Rows as _, Scalar,
    backend::{Backend, Candidates, ContrastSpec, on},
    counting::{Counted, count, product},
    ops::loss::with_gradient,
    tape::NamedRows,
    values::Place,
};

/// The loss, and what is worth watching beside it.
#[derive(Debug)]
pub struct InfoNce {
    /// The loss, averaged over the batch.
    pub loss: Scalar,
    /// The loss as a number.
    pub value: f32,
    /// Share of queries whose positive is the largest of all logits. A tie counts against.
    pub top1: f32,
    /// Only when asked for. Against a queue `(N, 1 + K)`, the positive first; in a batch `(N, M)`, a column a key.
    pub logits: Option<Vec<f32>>,
}

/// Whether all logits are wanted, which takes memory for one of each query and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepLogits {
    /// They are.
    Yes,
    /// They are not.
    No,
}

/// InfoNCE (He et al. 2020, arXiv:1911.05722, Eq. 1), in nats, averaged over the batch.
///
/// `q`, `keys`: `(N, C)`, the positive of row `i` being row `i`. `queue`: `(K, C)`. All rows are of unit
/// length. Only `q` gets a gradient.
///
/// The logits of a few hundred keys exist at a time: each task reduces its own to a maximum, a sum and a weighted mean
/// of keys, and these combine to the loss and its gradient.
///
/// # Errors
///
/// When there is no query, the sizes differ, or the temperature is not positive.
pub fn info_nce_queue(
    q: Features,
    keys: &Matrix,
    queue: &Buffer,
    temperature: f32,
    keep: KeepLogits,
) -> Result<InfoNce, OpError> {
    let (n, c) = (q.n(), q.d());
    check((n, c), (keys.n(), keys.d()), queue.n_elements(), temperature)?;
    on!(Place::of_process(), |backend| {
        let positives = &backend.of_matrix(keys)?;
        let candidates = Candidates::Queue { positives, queue: &queue.values };
        // d loss / d q = (mean key under the softmax - positive key) / (temperature * N)
        let factors = Factors {
            op: "info_nce_queue",
            n_keys: 1 + queue.n_elements() / c,
            loss: 1.0,
            gradient: 1.0 / (f64::from(temperature) * n as f64),
        };
        contrast(backend, q, candidates, temperature, keep, factors)
    })
}

/// What a mean cross-entropy and its directions are multiplied by, and of which operation.
pub(super) struct Factors {
    pub(super) op: &'static str,
    /// Keys that each query is compared with.
    pub(super) n_keys: usize,
    pub(super) loss: f64,
    pub(super) gradient: f64,
}

/// A loss by the cross-entropy of queries.
pub(super) fn contrast<B: Backend>(
    backend: B,
    q: Features,
    candidates: Candidates<'_, B::Values>,
    temperature: f32,
    keep: KeepLogits,
    factors: Factors,
) -> Result<InfoNce, OpError> {
    let (n, c) = (q.n(), q.d());
    let (q, name, recording) = NamedRows::split(backend, q)?;
    let spec = ContrastSpec {
        temperature,
        gradient_factor: recording.is_on().then_some(factors.gradient),
        keeps_logits: keep == KeepLogits::Yes,
    };
    count(|| {
        let products = product(&[n, factors.n_keys, c]);
        // The mean of the keys is taken along with the logits.
        let backward_products = if recording.is_on() { products } else { 0 };
        let output = vec![n, factors.n_keys];
        Counted { op: factors.op, weight: None, output, products, backward_products }
    });
    let result = backend.contrast((&q, c), candidates, spec)?;
    let value = (factors.loss * result.cross_entropy) as f32;
    let loss = with_gradient(backend, name, recording, backend.upload(vec![value])?, result.gradient)?;
    Ok(InfoNce { loss, value, top1: result.n_right as f32 / n as f32, logits: result.logits })
}

fn check(q: (usize, usize), keys: (usize, usize), queue_len: usize, temperature: f32) -> Result<(), OpError> {
    const OP: &str = "info_nce_queue";
    if keys != q {
        return Err(OpError::shape(OP, "shape of the keys", q, keys));
    }
    if q.0 == 0 || q.1 == 0 {
        return Err(OpError::value(OP, "shape of the queries", q, "every size must be at least 1"));
    }
    if queue_len == 0 || !queue_len.is_multiple_of(q.1) {
        let must = "it must be a positive multiple of the width of a key";
        return Err(OpError::value(OP, "length of the queue", queue_len, must));
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(OpError::value(OP, "temperature", temperature, "it must be positive"));
    }
    Ok(())
}
