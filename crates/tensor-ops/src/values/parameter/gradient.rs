//! The gradient of a parameter among those of a backward pass.

use super::{Parameter, TorchValues};
use crate::{
    Gradients, OpError,
    backend::{Backend, Computed, on},
    tape::{BySlot, Slot},
    values::{AnyValues, Place},
};

impl Parameter {
    /// The gradient of this parameter, in our order; `None` if none reached it.
    ///
    /// Where an operation on rows is recorded with the loss, but its output has no part in it, what reaches the parameter are
    /// zeros, and not nothing.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn gradient(&self, gradients: &mut Gradients) -> Result<Option<Vec<f32>>, OpError> {
        self.with_gradient(gradients, |gradient| gradient.to_vec())
    }

    /// Lends the gradient of this parameter, in our order; `None`, and no call, if none reached it.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn with_gradient<R>(
        &self,
        gradients: &mut Gradients,
        read: impl FnOnce(&mut [f32]) -> R,
    ) -> Result<Option<R>, OpError> {
        let Some(mut gradient) = self.take_gradient(gradients)? else { return Ok(None) };
        let result = read(&mut gradient);
        self.put_gradient(gradients, gradient)?;
        Ok(Some(result))
    }

    /// Moves the gradient of this parameter out of one backward pass and adds it to another's; `into` need not have one
    /// yet. Does nothing if none reached the parameter.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn add_gradient(&self, into: &mut Gradients, from: &mut Gradients) -> Result<(), OpError> {
        let Some(gradient) = self.slot.take_any(&mut from.by_slot) else { return Ok(()) };
        Ok(on!(gradient.place(), |backend| add(backend, &self.slot, &mut into.by_slot, gradient))?)
    }

    /// Moves the gradient of this parameter out, in our order, to be used beside those of others; `None` if none reached it.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn take_gradient(&self, gradients: &mut Gradients) -> Result<Option<Vec<f32>>, OpError> {
        self.take_by_slot(&mut gradients.by_slot)
    }

    pub(crate) fn take_by_slot(&self, by_slot: &mut BySlot) -> Result<Option<Vec<f32>>, OpError> {
        Ok(match self.slot.take_any(by_slot) {
            None => None,
            Some(AnyValues::Host(gradient)) => Some(gradient.into_whole()),
            #[cfg(feature = "cuda")]
            Some(AnyValues::Cuda(gradient)) => {
                Some(crate::backend::Storage::to_host(crate::backend::Cuda, &gradient)?)
            }
        })
    }

    /// Moves a gradient in, in our order: what [`take_gradient`](Self::take_gradient) gave.
    ///
    /// # Errors
    ///
    /// When the number of values is another, or the device fails.
    pub fn put_gradient(&self, gradients: &mut Gradients, gradient: Vec<f32>) -> Result<(), OpError> {
        let expected = self.n_elements();
        if gradient.len() != expected {
            let got = gradient.len();
            return Err(OpError::shape("Parameter::put_gradient", "number of values", expected, got));
        }
        let gradient = on!(Place::of_process(), |backend| upload(backend, gradient))?;
        self.slot.put_any(&mut gradients.by_slot, gradient);
        Ok(())
    }

    /// PyTorch's shape, and the gradient in PyTorch's order; `None` if none reached the parameter.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn gradient_to_torch(&self, gradients: &mut Gradients) -> Result<Option<TorchValues>, OpError> {
        self.with_gradient(gradients, |gradient| (self.torch_shape(), self.order_to_torch(gradient)))
    }
}

fn add<B: Backend>(backend: B, slot: &Slot, into: &mut BySlot, gradient: AnyValues) -> Computed<()> {
    slot.add(backend, into, B::owned(gradient))
}

fn upload<B: Backend>(backend: B, gradient: Vec<f32>) -> Computed<AnyValues> {
    backend.upload(gradient).map(B::any)
}
