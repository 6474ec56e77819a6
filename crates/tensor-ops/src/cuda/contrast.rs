//! InfoNCE: logits by a matrix product, a block of threads for each row's statistics, and the gradient by another product.
//!
//! All logits exist at once, unlike on the host: 64 MiB for 256 queries and a queue of 65536 keys. They become the weights
//! of the keys in the gradient, in place.

use dfdx::{
    shapes::HasShape,
    tensor::{SplitTape, TensorFromVec},
};

use super::{
    array::{download, unwritten},
    blas::{Operand, Product},
    context::context,
    launch::Launch,
    loss::with_gradient,
    program::Program,
    tensor::address,
};
use crate::{Buffer, Features, InfoNce, KeepLogits, Matrix, OpError, Precision};

pub(super) static CONTRAST: Program = Program::new(
    "contrast",
    concat!(include_str!("kernels/reduce.cu"), include_str!("kernels/contrast.cu")),
    "",
);

/// What queries are told apart from.
enum Candidates<'a> {
    /// Negatives, and a positive of its own for each query.
    Queue { queue: &'a Buffer, positives: &'a Matrix },
    /// Keys, of which number `first` is the positive of the first query, and so on.
    InBatch { keys: &'a Matrix, first: usize },
}

/// See [`info_nce_queue`](crate::info_nce_queue).
pub(crate) fn info_nce_queue(
    q: Features,
    positives: &Matrix,
    queue: &Buffer,
    temperature: f32,
    keep: KeepLogits,
) -> Result<InfoNce, OpError> {
    let factor = 1.0 / (f64::from(temperature) * q.shape().0 as f64);
    let (loss_factor, candidates) = (1.0, Candidates::Queue { queue, positives });
    contrast(q, candidates, temperature, keep, loss_factor, factor)
}

/// See [`info_nce_in_batch`](crate::info_nce_in_batch).
pub(crate) fn info_nce_in_batch(
    q: Features,
    keys: &Matrix,
    first: usize,
    temperature: f32,
    keep: KeepLogits,
) -> Result<InfoNce, OpError> {
    // 2 T times the mean, and 1 / T from the logits.
    let factor = 2.0 / q.shape().0 as f64;
    let loss_factor = 2.0 * f64::from(temperature);
    contrast(q, Candidates::InBatch { keys, first }, temperature, keep, loss_factor, factor)
}

/// `loss_factor` times the mean cross-entropy; `factor` times the sum of weighted keys is its gradient.
fn contrast(
    q: Features,
    candidates: Candidates<'_>,
    temperature: f32,
    keep: KeepLogits,
    loss_factor: f64,
    factor: f64,
) -> Result<InfoNce, OpError> {
    let (n, c) = *q.shape();
    let (q, recording) = q.split_tape();
    let wants_gradient = recording.is_on();
    let (n_keys, keys) = match &candidates {
        Candidates::Queue { queue, .. } => {
            (queue.n_elements() / c, Operand::of_slice(queue.values.on_device()?))
        }
        Candidates::InBatch { keys, .. } => (keys.shape().0, Operand::at(address(*keys), Precision::F32)),
    };
    let mut logits = unwritten(n * n_keys)?;
    // A logit is divided by a temperature of a tenth or less, and so is its error.
    Product::new(n, n_keys, c).exactly().times(1.0 / temperature).run(
        Operand::at(address(&q), Precision::F32),
        keys.transposed(),
        Operand::of_slice_mut(&mut logits),
    )?;
    let kept = match keep {
        KeepLogits::Yes => Some(download(&logits)?),
        KeepLogits::No => None,
    };

    let mut gradient = if wants_gradient { Some(unwritten(n * c)?) } else { None };
    let mut results = unwritten::<f64>(3 * n)?;
    let (queries, positives, first) = match &candidates {
        Candidates::Queue { positives, .. } => (address(&q), address(*positives), 0),
        Candidates::InBatch { first, .. } => (0, 0, *first),
    };
    Launch::new(&CONTRAST, "contrast")
        .write(&mut logits)
        .pointer(queries)
        .pointer(positives)
        .write_if(gradient.as_mut())
        .write(&mut results)
        .int(n_keys)
        .int(c)
        .int(first)
        .float(temperature)
        .double(factor)
        .int(usize::from(wants_gradient))
        .blocks(n, 1, 1)?;
    if let Some(gradient) = &mut gradient {
        let has_begun = matches!(candidates, Candidates::Queue { .. });
        Product::new(n, c, n_keys).exactly().adding(has_begun).run(
            Operand::of_slice(&logits),
            keys,
            Operand::of_slice_mut(gradient),
        )?;
    }

    // The one wait of a loss.
    let results = context()?.device().dtoh_sync_copy(&results).map_err(dfdx::tensor::CudaError::from)?;
    let [losses, are_right, positives] = [0, 1, 2].map(|i| &results[i * n..(i + 1) * n]);
    let value = (loss_factor * (losses.iter().sum::<f64>() / n as f64)) as f32;
    let top1 = are_right.iter().sum::<f64>() as f32 / n as f32;
    let logits = kept.map(|kept| match candidates {
        Candidates::InBatch { .. } => kept,
        Candidates::Queue { .. } => {
            let rows = positives.iter().zip(kept.chunks_exact(n_keys));
            rows.flat_map(|(positive, row)| std::iter::once(*positive as f32).chain(row.iter().copied()))
                .collect()
        }
    });
    let loss = q.device().try_tensor_from_vec(vec![value], ())?;
    Ok(InfoNce { loss: with_gradient(&q, recording, loss, gradient), value, top1, logits })
}
