//! The gradients of one backward pass.

use std::{cell::RefCell, collections::HashMap};

use crate::{Device, values::AnyValues};

/// Those of dfdx's tensors.
pub(crate) type OfTensors = dfdx::tensor::Gradients<f32, Device>;

/// Those of feature maps, tokens and parameters, by the number of their slot.
pub(crate) type BySlot = HashMap<u64, AnyValues>;

/// Gradients of one backward pass, by what they belong to.
#[derive(Debug)]
pub struct Gradients {
    pub(crate) of_tensors: OfTensors,
    pub(crate) by_slot: BySlot,
}

impl Default for Gradients {
    /// Those of no pass yet, for others to be added to.
    fn default() -> Self {
        Self { of_tensors: OfTensors::leaky(), by_slot: BySlot::new() }
    }
}

/// The gradients of the pass that is running, as one operation of it sees them.
pub(crate) struct Pass<'a> {
    pub(crate) of_tensors: &'a mut OfTensors,
    pub(crate) by_slot: &'a mut BySlot,
}

thread_local! {
    /// dfdx hands its own gradients from operation to operation, and has no place for others.
    static RUNNING: RefCell<BySlot> = RefCell::default();
}

impl Pass<'_> {
    /// Lends the gradients of the pass that runs on this thread.
    pub(super) fn with_running<R>(of_tensors: &mut OfTensors, work: impl FnOnce(&mut Pass<'_>) -> R) -> R {
        RUNNING.with_borrow_mut(|by_slot| work(&mut Pass { of_tensors, by_slot }))
    }
}

/// Runs a backward pass of dfdx, which adds to `gradients`.
pub(crate) fn collected<E>(
    gradients: Gradients,
    run: impl FnOnce(OfTensors) -> Result<OfTensors, E>,
) -> Result<Gradients, E> {
    // What a pass that failed has left is nobody's.
    RUNNING.set(gradients.by_slot);
    let of_tensors = run(gradients.of_tensors);
    let by_slot = RUNNING.take();
    Ok(Gradients { of_tensors: of_tensors?, by_slot })
}
