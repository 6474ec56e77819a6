//! The gradients of one backward pass.

use std::{cell::RefCell, collections::HashMap};

use dfdx::tensor::CpuError;

use super::GradientWatch;
use crate::{Device, OpError, device::DeviceError, values::AnyValues};

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

impl Gradients {
    /// How many parameters and inputs have a gradient that nobody has taken out. What is left when those of all known
    /// parameters are taken belongs to one that is not known.
    pub fn n_of_parameters(&self) -> usize {
        self.by_slot.len()
    }
}

/// The gradients of the pass that is running, as one operation of it sees them.
pub(crate) struct Pass<'a> {
    pub(crate) of_tensors: &'a mut OfTensors,
    pub(crate) by_slot: &'a mut BySlot,
    /// Why the pass ends, where dfdx has no error for it.
    pub(crate) failure: Option<OpError>,
}

/// What dfdx has no place for: it hands its own gradients and its own errors from operation to operation.
#[derive(Default)]
struct Running {
    by_slot: BySlot,
    failure: Option<OpError>,
    watch: Option<GradientWatch>,
}

thread_local! {
    /// Of the pass that runs on this thread. While an operation of it runs, it is with that operation: another pass may run in
    /// the middle, of a thread that waits for others and does their work, or of an operation that needs one.
    static RUNNING: RefCell<Running> = RefCell::default();
}

/// The pass in whose middle another one runs: it goes on where the other ends, by a panic too.
struct Outer(Running);

impl Drop for Outer {
    fn drop(&mut self) {
        RUNNING.set(std::mem::take(&mut self.0));
    }
}

impl Pass<'_> {
    /// Lends the gradients of the pass that runs on this thread.
    pub(super) fn with_running<R>(of_tensors: &mut OfTensors, work: impl FnOnce(&mut Pass<'_>) -> R) -> R {
        let mut running = RUNNING.take();
        let mut pass = Pass { of_tensors, by_slot: &mut running.by_slot, failure: None };
        let result = work(&mut pass);
        if let Some(error) = pass.failure {
            running.failure = Some(error);
        }
        if let Some(watch) = &mut running.watch
            && let Err(error) = watch.look(&mut running.by_slot)
        {
            running.failure = Some(error);
            running.watch = None;
        }
        RUNNING.set(running);
        result
    }

    /// Ends the pass for a reason that dfdx has no error for: what an operation returns in its place.
    #[allow(clippy::useless_conversion, reason = "with the CUDA device, dfdx's error is another")]
    pub(crate) fn fail(&mut self, error: impl Into<OpError>) -> DeviceError {
        self.failure = Some(error.into());
        CpuError::WrongNumElements.into()
    }
}

/// Runs a backward pass of dfdx, which adds to `gradients`; what is watched is taken out of them.
pub(crate) fn collected(
    gradients: Gradients,
    watch: Option<GradientWatch>,
    run: impl FnOnce(OfTensors) -> Result<OfTensors, DeviceError>,
) -> Result<Gradients, OpError> {
    // What a pass that failed has left is nobody's, and goes with it.
    let outer = Outer(RUNNING.replace(Running { by_slot: gradients.by_slot, failure: None, watch }));
    let of_tensors = run(gradients.of_tensors);
    let Running { by_slot, failure, watch } = RUNNING.take();
    drop(outer);
    if let Some(error) = failure {
        return Err(error);
    }
    let mut gradients = Gradients { of_tensors: of_tensors?, by_slot };
    if let Some(watch) = watch {
        watch.finish(&mut gradients)?;
    }
    Ok(gradients)
}
