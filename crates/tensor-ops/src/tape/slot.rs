//! The place of one gradient among the gradients of a backward pass.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::BySlot;
use crate::{
    Device, ParameterId,
    backend::{Backend, Computed},
    values::AnyValues,
};

/// Names a gradient of a feature map, of tokens or of a parameter. Clones name the same one.
///
/// The first gradient to arrive is moved in whole, without zeros and without an addition.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    device: Device,
    number: u64,
    len: usize,
    /// Counts the clones.
    handles: Arc<()>,
}

impl Slot {
    /// A new name for the gradient of `len` values.
    pub(crate) fn new(device: &Device, len: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { device: device.clone(), number, len, handles: Arc::new(()) }
    }

    /// Tells what it belongs to from everything else.
    pub(crate) fn id(&self) -> ParameterId {
        ParameterId(self.number)
    }

    /// Where tensors live.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// How many clones there are, this one included.
    pub(crate) fn n_handles(&self) -> usize {
        Arc::strong_count(&self.handles)
    }

    /// Number of values of the gradient.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Moves the gradient out, if any has arrived, wherever it is.
    pub(crate) fn take_any(&self, gradients: &mut BySlot) -> Option<AnyValues> {
        gradients.remove(&self.number)
    }

    /// Puts a gradient in, wherever it is.
    pub(crate) fn put_any(&self, gradients: &mut BySlot, gradient: AnyValues) {
        debug_assert_eq!(gradient.len(), self.len, "a gradient has the length of what it belongs to");
        gradients.insert(self.number, gradient);
    }

    /// Moves the gradient out, if any has arrived.
    pub(crate) fn take<B: Backend>(&self, gradients: &mut BySlot) -> Option<B::Values> {
        self.take_any(gradients).map(B::owned)
    }

    /// Puts back what [`take`](Self::take) gave, grown, or the first gradient to arrive. Nothing may have arrived in between, for
    /// it would be lost: an operation puts before it adds.
    pub(crate) fn put<B: Backend>(&self, gradients: &mut BySlot, gradient: B::Values) {
        debug_assert!(!gradients.contains_key(&self.number), "a gradient is put where none is");
        self.put_any(gradients, B::any(gradient));
    }

    /// Adds a gradient to what has arrived.
    pub(crate) fn add<B: Backend>(
        &self,
        backend: B,
        gradients: &mut BySlot,
        gradient: B::Values,
    ) -> Computed<()> {
        let sum = match self.take::<B>(gradients) {
            None => gradient,
            Some(mut sum) => {
                backend.add(&mut sum, &gradient)?;
                sum
            }
        };
        self.put::<B>(gradients, sum);
        Ok(())
    }
}
