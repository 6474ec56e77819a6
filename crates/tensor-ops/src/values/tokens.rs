//! Rows of tokens, what a transformer works on.

use std::sync::Arc;

use kernels_cpu::Precision;

use super::{AnyValues, Place, cast, check_len};
use crate::{
    Device, Gradients, OpError, Recording,
    backend::{Backend, Computed, on},
    tape::{Pass, Slot, recorded_handle},
};

/// Rows of tokens, logically `(N, T, D)`, image after image, token after token.
#[derive(Debug)]
pub struct Tokens {
    pub(crate) values: Arc<AnyValues>,
    pub(crate) shape: [usize; 3],
    pub(crate) slot: Slot,
    pub(crate) needs_gradient: bool,
    pub(crate) recording: Recording,
}

recorded_handle!(Tokens);

impl Tokens {
    /// From values one token after the other, `(N, T, D)`.
    ///
    /// The result is an input: no gradient is computed for it unless [`requires_gradient`](Self::requires_gradient)
    /// asks for one.
    ///
    /// # Errors
    ///
    /// When a size is 0, or the number of values is not `N * T * D`.
    pub fn from_rows(
        device: &Device,
        shape: [usize; 3],
        values: Vec<f32>,
        recording: Recording,
    ) -> Result<Self, OpError> {
        const OP: &str = "Tokens::from_rows";
        if shape.contains(&0) {
            return Err(OpError::value(OP, "shape", shape, "every size must be at least 1"));
        }
        check_len(OP, "number of values", &shape, values.len())?;
        let slot = Slot::new(device, values.len());
        let values = on!(Place::of_process(), |backend| upload(backend, values)?);
        Ok(Self { values: Arc::new(values), shape, slot, needs_gradient: false, recording })
    }

    /// The values one token after the other, `(N, T, D)`.
    pub fn to_rows(&self) -> Vec<f32> {
        on!(self.values.place(), |backend| to_host(backend, &self.values))
            .expect("a device gives back what it holds")
    }

    /// The same values kept in another precision, as all that is computed from them will be.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        if precision != self.precision() {
            self.values = on!(self.values.place(), |backend| cast(backend, self.values, precision))
                .expect("a copy has room");
        }
        self
    }

    /// How the values are kept.
    pub fn precision(&self) -> Precision {
        self.values.precision()
    }

    /// `[N, T, D]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Images.
    pub fn n(&self) -> usize {
        self.shape[0]
    }

    /// Tokens an image.
    pub fn t(&self) -> usize {
        self.shape[1]
    }

    /// Features a token.
    pub fn d(&self) -> usize {
        self.shape[2]
    }

    /// A second handle on the same values, not recorded. Gradients that reach either handle add up.
    ///
    /// For the identity branch of a residual block: the operation that joins the branches takes the recording from
    /// the other one.
    pub fn share(&self) -> Self {
        Self {
            values: Arc::clone(&self.values),
            shape: self.shape,
            slot: self.slot.clone(),
            needs_gradient: self.needs_gradient,
            recording: Recording::Off,
        }
    }

    /// A second handle on the same values, recorded on its own when this one is recorded.
    ///
    /// For a branch with operations of its own: the recordings merge where the branches join.
    pub fn fork(&self) -> Self {
        let recording = if self.is_recorded() { Recording::start() } else { Recording::Off };
        self.share().with_recording(recording)
    }

    /// Asks for the gradient of an input, to be had by [`gradient`](Self::gradient).
    pub fn requires_gradient(mut self) -> Self {
        self.needs_gradient = true;
        self
    }

    /// The gradient that reached this input, `(N, T, D)`. `None` if none did.
    ///
    /// Moves the gradient out of `gradients`. What lies between operations has no gradient left to ask for: its memory
    /// is freed as soon as it has been passed on.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn gradient(&self, gradients: &mut Gradients) -> Result<Option<Vec<f32>>, OpError> {
        let Some(gradient) = self.slot.take_any(&mut gradients.by_slot) else { return Ok(None) };
        Ok(Some(on!(gradient.place(), |backend| to_host(backend, &gradient))?))
    }

    /// The output of an operation, whose gradient `backward` turns into gradients of what went in.
    ///
    /// `backward` gets the gradient of the output in the precision of its values; it is not called if none arrived.
    pub(crate) fn output<B: Backend>(
        backend: B,
        device: &Device,
        shape: [usize; 3],
        values: Arc<AnyValues>,
        mut recording: Recording,
        backward: Option<impl FnOnce(&mut Pass<'_>, B::Values) -> Computed<()> + 'static>,
    ) -> Self {
        let slot = Slot::new(device, values.len());
        let needs_gradient = recording.is_on() && backward.is_some();
        if let (true, Some(backward)) = (recording.is_on(), backward) {
            let (slot, precision) = (slot.clone(), values.precision());
            recording.record(move |pass| match slot.take::<B>(pass.by_slot) {
                Some(gradient) => backward(pass, backend.cast(gradient, precision)?),
                None => Ok(()),
            });
        }
        Self { values, shape, slot, needs_gradient, recording }
    }
}

fn upload<B: Backend>(backend: B, values: Vec<f32>) -> Computed<AnyValues> {
    backend.upload(values).map(B::any)
}

fn to_host<B: Backend>(backend: B, values: &AnyValues) -> Computed<Vec<f32>> {
    backend.to_host(B::of(values))
}
