//! The largest absolute values of gradients.

pub use kernels_cpu::largest::largest_value;

use crate::{Gradients, OpError, Parameter, values::Place};

/// The largest absolute value of each parameter's gradient, NaN if any value is; `None` where none reached the parameter.
///
/// # Errors
///
/// When the device fails.
pub fn largest_gradients(
    parameters: &[&Parameter],
    gradients: &mut Gradients,
) -> Result<Vec<Option<f32>>, OpError> {
    match Place::of_process() {
        Place::Host => {
            let largest = |parameter: &&Parameter| {
                parameter.with_gradient(gradients, |gradient| largest_value(gradient))
            };
            parameters.iter().map(largest).collect()
        }
        #[cfg(feature = "cuda")]
        Place::Cuda => crate::backend::cuda_update::largest_of_each(parameters, gradients),
    }
}
