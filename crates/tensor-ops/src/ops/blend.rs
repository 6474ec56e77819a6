//! The moving average of parameters.

use crate::OpError;

/// `own = momentum * own + (1 - momentum) * towards`, value by value, rounded as PyTorch rounds it.
///
/// # Errors
///
/// When the lengths differ.
pub fn blend_values(own: &mut [f32], towards: &[f32], momentum: f32) -> Result<(), OpError> {
    if towards.len() != own.len() {
        return Err(OpError::shape("blend_values", "number of values", own.len(), towards.len()));
    }
    kernels_cpu::blend::blend(own, towards, momentum);
    Ok(())
}
