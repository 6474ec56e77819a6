//! Rows of unit length.

use dfdx::{
    shapes::HasShape,
    tensor::{PutTape, SplitTape, Tape, TensorFromVec},
};

use crate::{Features, OpError, device};

/// PyTorch's `eps` of `F.normalize`: what a length is at least.
pub(crate) const MIN_LENGTH: f32 = 1e-12;

/// Each row divided by its length, `x / max(|x|, 1e-12)`, `(N, D)`.
///
/// # Errors
///
/// When the device fails.
pub fn l2_normalize(x: Features) -> Result<Features, OpError> {
    #[cfg(feature = "cuda")]
    if crate::cuda::is_used() {
        return crate::cuda::l2_normalize(x);
    }
    let (n, d) = *x.shape();
    let (x, mut recording) = x.split_tape();
    let mut values = device::rows(&x);
    let mut lengths = Vec::with_capacity(n);
    for row in values.chunks_exact_mut(d) {
        let square = row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>();
        let length = (square.sqrt() as f32).max(MIN_LENGTH);
        for value in row {
            *value /= length;
        }
        lengths.push(length);
    }
    let kept = recording.is_on().then(|| values.clone());
    let y = x.device().try_tensor_from_vec(values, (n, d))?;
    if let Some(output) = kept {
        let (x, out) = (x.ghost(), y.ghost());
        recording.add_backward_op(move |gradients| {
            let mut gradient = device::take(gradients.get_or_alloc_mut(&out)?)?;
            let rows = gradient.chunks_exact_mut(d).zip(output.chunks_exact(d));
            for ((gradient, output), &length) in rows.zip(&lengths) {
                // A row that is shorter than the least length is only scaled.
                let along = if length > MIN_LENGTH { dot(gradient, output) } else { 0.0 };
                for (gradient, output) in gradient.iter_mut().zip(output) {
                    *gradient = (*gradient - along * output) / length;
                }
            }
            device::add(gradients.get_or_alloc_mut(&x)?, &gradient)
        });
    }
    Ok(y.put_tape(recording))
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32
}
