//! Clipping of gradients by their norm.

use crate::{Gradients, OpError, Parameter, values::Place};

/// Scales the gradients of all `parameters` together so that their Euclidean norm is at most `max_norm`, which is positive,
/// and returns the norm that they had. Gradients of a smaller norm stay as they are. The factor is that of
/// `torch.nn.utils.clip_grad_norm_`: `max_norm / (norm + 1e-6)`, at most 1.
///
/// # Errors
///
/// When the device fails.
pub fn clip_gradients(
    parameters: &[&Parameter],
    gradients: &mut Gradients,
    max_norm: f64,
) -> Result<f64, OpError> {
    let norm = sum_of_squares(parameters, gradients)?.sqrt();
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        scale(parameters, gradients, factor as f32)?;
    }
    Ok(norm)
}

/// The squares of all values, added in order.
fn sum_of_squares(parameters: &[&Parameter], gradients: &mut Gradients) -> Result<f64, OpError> {
    match Place::of_process() {
        Place::Host => {
            let mut sum = 0.0;
            for parameter in parameters {
                sum += parameter.with_gradient(gradients, |gradient| squares(gradient))?.unwrap_or(0.0);
            }
            Ok(sum)
        }
        #[cfg(feature = "cuda")]
        Place::Cuda => crate::backend::cuda_update::sum_of_squares(parameters, gradients),
    }
}

fn scale(parameters: &[&Parameter], gradients: &mut Gradients, factor: f32) -> Result<(), OpError> {
    match Place::of_process() {
        Place::Host => {
            for parameter in parameters {
                parameter.with_gradient(gradients, |gradient| {
                    gradient.iter_mut().for_each(|value| *value *= factor);
                })?;
            }
            Ok(())
        }
        #[cfg(feature = "cuda")]
        Place::Cuda => crate::backend::cuda_update::scale(parameters, gradients, factor),
    }
}

/// In double precision, in lanes that do not wait for each other.
fn squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(*value) * f64::from(*value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(*value) * f64::from(*value);
    }
    lanes.iter().sum()
}
