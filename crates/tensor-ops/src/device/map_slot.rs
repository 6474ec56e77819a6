//! The place of the gradient of a feature map.

use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "cuda")]
use cudarc::driver::CudaSlice;

use super::{DeviceError, GradientSlot};
use crate::{Device, Gradients, values::Values};

/// Names the gradient of a feature map, which is kept in the precision of the map. Clones name the same one.
#[derive(Debug, Clone)]
pub(crate) struct MapSlot {
    slot: GradientSlot,
    /// The gradient in bfloat16, which dfdx has no room for: from when it first arrives until it is passed on.
    halves: Arc<Mutex<Option<Vec<u16>>>>,
}

impl MapSlot {
    /// A new name for the gradient of `len` values.
    pub(crate) fn new(device: &Device, len: usize) -> Self {
        Self { slot: GradientSlot::new(device, len), halves: Arc::default() }
    }

    /// The device that gradients are kept on.
    pub(crate) fn device(&self) -> &Device {
        self.slot.device()
    }

    /// Moves the gradient out, if any has arrived.
    pub(crate) fn take(&self, gradients: &mut Gradients) -> Result<Option<Values>, DeviceError> {
        match self.halves().take() {
            Some(halves) => Ok(Some(Values::Bf16(halves))),
            None => Ok(self.slot.take(gradients)?.map(Values::F32)),
        }
    }

    /// Puts back what [`take`](Self::take) gave, grown, or the first gradient to arrive.
    pub(crate) fn put(&self, gradients: &mut Gradients, gradient: Values) -> Result<(), DeviceError> {
        debug_assert_eq!(gradient.len(), self.slot.len(), "a gradient has the length of what it belongs to");
        match gradient {
            Values::Bf16(halves) => {
                *self.halves() = Some(halves);
                Ok(())
            }
            values => self.slot.put(gradients, values.into_whole()),
        }
    }

    /// Adds a gradient to what has arrived.
    pub(crate) fn add(&self, gradients: &mut Gradients, gradient: Values) -> Result<(), DeviceError> {
        let sum = match self.take(gradients)? {
            None => gradient,
            Some(mut sum) => {
                sum.add(&gradient);
                sum
            }
        };
        self.put(gradients, sum)
    }

    fn halves(&self) -> std::sync::MutexGuard<'_, Option<Vec<u16>>> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On the CUDA device, gradients are in single precision.
#[cfg(feature = "cuda")]
impl MapSlot {
    /// The gradient's own place.
    pub(crate) fn into_slot(self) -> GradientSlot {
        self.slot
    }

    /// See [`GradientSlot::take_slice`].
    pub(crate) fn take_slice(
        &self,
        gradients: &mut Gradients,
    ) -> Result<Option<CudaSlice<f32>>, DeviceError> {
        self.slot.take_slice(gradients)
    }

    /// See [`GradientSlot::put_slice`].
    pub(crate) fn put_slice(
        &self,
        gradients: &mut Gradients,
        gradient: CudaSlice<f32>,
    ) -> Result<(), DeviceError> {
        self.slot.put_slice(gradients, gradient)
    }

    /// See [`GradientSlot::add_slice`].
    pub(crate) fn add_slice(
        &self,
        gradients: &mut Gradients,
        gradient: CudaSlice<f32>,
    ) -> Result<(), DeviceError> {
        self.slot.add_slice(gradients, gradient)
    }
}
