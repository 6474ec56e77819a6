//! The place of one gradient among the gradients of a backward pass.

use std::sync::{Arc, OnceLock};

#[cfg(feature = "cuda")]
use cudarc::driver::{CudaSlice, DeviceSlice};
use dfdx::tensor::{Tensor, ZerosTensor};

use super::{DeviceError, backend, put, take};
use crate::{Device, Gradients};

/// Names a gradient. Clones name the same one.
///
/// dfdx finds a gradient by the identity of a tensor, and allocates zeros of that tensor's length to add to. The tensor
/// here has next to no elements, so that the first gradient is moved in whole, without zeros and without an addition.
#[derive(Debug, Clone)]
pub(crate) struct GradientSlot {
    device: Device,
    /// Made when a gradient is first asked for or given: most values of a pass that is not recorded never have one.
    name: Arc<OnceLock<Tensor<(usize,), f32, Device>>>,
    len: usize,
}

impl GradientSlot {
    /// A new name for the gradient of `len` values.
    pub(crate) fn new(device: &Device, len: usize) -> Self {
        Self { device: device.clone(), name: Arc::default(), len }
    }

    fn name(&self) -> Result<&Tensor<(usize,), f32, Device>, DeviceError> {
        if let Some(name) = self.name.get() {
            return Ok(name);
        }
        // Of another length than the gradient, which is how it is told from one.
        let placeholder_len = if self.len == backend::UNTOUCHED_LEN { 2 } else { backend::UNTOUCHED_LEN };
        let name = self.device.try_zeros_like(&(placeholder_len,))?;
        Ok(self.name.get_or_init(|| name))
    }

    /// The device that gradients are kept on.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Number of values of the gradient.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Moves the gradient out, if any has arrived.
    pub(crate) fn take(&self, gradients: &mut Gradients) -> Result<Option<Vec<f32>>, DeviceError> {
        let stored = gradients.get_or_alloc_mut(self.name()?)?;
        if backend::len(stored) != self.len {
            return Ok(None);
        }
        Ok(Some(take(stored)?))
    }

    /// Puts back what [`take`](Self::take) gave, grown, or the first gradient to arrive.
    pub(crate) fn put(&self, gradients: &mut Gradients, values: Vec<f32>) -> Result<(), DeviceError> {
        debug_assert_eq!(values.len(), self.len, "a gradient has the length of what it belongs to");
        put(gradients.get_or_alloc_mut(self.name()?)?, values)
    }

    /// Adds a gradient to what has arrived.
    pub(crate) fn add(&self, gradients: &mut Gradients, values: Vec<f32>) -> Result<(), DeviceError> {
        let sum = match self.take(gradients)? {
            None => values,
            Some(mut sum) => {
                crate::memory::add_to(&mut sum, &values);
                sum
            }
        };
        self.put(gradients, sum)
    }
}

#[cfg(feature = "cuda")]
impl GradientSlot {
    /// Moves the gradient out where it is, if any has arrived.
    pub(crate) fn take_slice(
        &self,
        gradients: &mut Gradients,
    ) -> Result<Option<CudaSlice<f32>>, DeviceError> {
        let stored = gradients.get_or_alloc_mut(self.name()?)?;
        if backend::len(stored) != self.len {
            return Ok(None);
        }
        Ok(Some(backend::take_slice(stored)?))
    }

    /// Puts back what [`take_slice`](Self::take_slice) gave, grown, or the first gradient to arrive.
    pub(crate) fn put_slice(
        &self,
        gradients: &mut Gradients,
        values: CudaSlice<f32>,
    ) -> Result<(), DeviceError> {
        debug_assert_eq!(values.len(), self.len, "a gradient has the length of what it belongs to");
        **gradients.get_or_alloc_mut(self.name()?)? = values;
        Ok(())
    }

    /// Adds a gradient to what has arrived.
    pub(crate) fn add_slice(
        &self,
        gradients: &mut Gradients,
        values: CudaSlice<f32>,
    ) -> Result<(), DeviceError> {
        let sum = match self.take_slice(gradients)? {
            None => values,
            Some(mut sum) => {
                crate::cuda::add_to(&mut sum, &values)?;
                sum
            }
        };
        self.put_slice(gradients, sum)
    }
}
