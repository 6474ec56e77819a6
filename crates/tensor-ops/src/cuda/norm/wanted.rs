//! What a backward pass computes of a norm's parameters.

use dfdx::tensor::CudaError;

use super::Sums;
use crate::{BatchNorm, Gradients, device::GradientSlot, norm::wanted};

/// Which parameters' gradients are computed.
pub(super) struct Wanted {
    pub(super) scale: Option<GradientSlot>,
    pub(super) shift: Option<GradientSlot>,
}

impl Wanted {
    pub(super) fn of(norm: &BatchNorm) -> Self {
        Self { scale: wanted(&norm.scale), shift: wanted(&norm.shift) }
    }

    pub(super) fn any(&self) -> bool {
        self.scale.is_some() || self.shift.is_some()
    }

    pub(super) fn give(&self, gradients: &mut Gradients, sums: Sums) -> Result<(), CudaError> {
        if let Some(slot) = &self.scale {
            slot.add_slice(gradients, sums.by_scale)?;
        }
        if let Some(slot) = &self.shift {
            slot.add_slice(gradients, sums.by_shift)?;
        }
        Ok(())
    }
}
