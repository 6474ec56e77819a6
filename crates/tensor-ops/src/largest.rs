//! The largest absolute values of gradients.

use crate::{Gradients, OpError, Parameter};

/// The largest absolute value of each parameter's gradient, NaN if any value is; `None` where none reached the parameter.
///
/// # Errors
///
/// When the device fails.
pub fn largest_gradients(
    parameters: &[&Parameter],
    gradients: &mut Gradients,
) -> Result<Vec<Option<f32>>, OpError> {
    #[cfg(feature = "cuda")]
    if crate::cuda::is_used() {
        let mut slices = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            slices.push(parameter.slot.take_slice(gradients)?);
        }
        let largest = crate::cuda::largest_of_each(&slices);
        for (parameter, slice) in parameters.iter().zip(slices) {
            if let Some(slice) = slice {
                parameter.slot.put_slice(gradients, slice)?;
            }
        }
        return Ok(largest?);
    }
    parameters
        .iter()
        .map(|parameter| parameter.with_gradient(gradients, |gradient| largest_value(gradient)))
        .collect()
}

/// The largest absolute value; NaN if any value is.
pub fn largest_value(values: &[f32]) -> f32 {
    // Lanes that do not wait for each other. As integers, absolute values are ordered, and NaN is the largest.
    let mut lanes = [0_u32; 16];
    let chunks = values.chunks_exact(lanes.len());
    for value in chunks.remainder() {
        lanes[0] = lanes[0].max(value.abs().to_bits());
    }
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = (*lane).max(value.abs().to_bits());
        }
    }
    f32::from_bits(lanes.into_iter().max().unwrap_or(0))
}
