//! Rows of tokens, and what a transformer does to them.

mod attention;
mod embed;
mod layer_norm;
mod linear;
mod pool;
#[cfg(test)]
mod tests;

use std::sync::Arc;

#[cfg(feature = "cuda")]
use cudarc::driver::CudaSlice;
use dfdx::tensor::Tape;

#[cfg(feature = "cuda")]
pub(crate) use self::linear::Tail;
pub use self::{
    attention::attention,
    embed::{add_bias, add_position, prepend_token, tokens_from_map},
    layer_norm::{LayerNorm, layer_norm},
    linear::{linear_add_tokens, linear_gelu_tokens, linear_tokens},
    pool::{keep_token, mean_tokens, select_token},
};
#[cfg(feature = "cuda")]
use crate::cuda::Array;
use crate::{
    Device, Gradients, OpError, Precision, Recording,
    device::{DeviceError, GradientSlot},
    values::Values,
};

/// Rows of tokens, logically `(N, T, D)`, image after image, token after token.
#[derive(Debug)]
pub struct Tokens {
    pub(crate) values: Arc<Values>,
    shape: [usize; 3],
    pub(crate) slot: GradientSlot,
    pub(crate) needs_gradient: bool,
    recording: Recording,
}

crate::recording::recorded_handle!(Tokens);

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
        let len = shape.iter().product::<usize>();
        if values.len() != len {
            return Err(OpError::shape(OP, "number of values", len, values.len()));
        }
        let slot = GradientSlot::new(device, len);
        #[cfg(feature = "cuda")]
        if crate::cuda::is_used() {
            let values = Arc::new(Values::Device(Array::F32(crate::cuda::upload(&values)?)));
            return Ok(Self { values, shape, slot, needs_gradient: false, recording });
        }
        let values = Arc::new(Values::F32(values));
        Ok(Self { values, shape, slot, needs_gradient: false, recording })
    }

    /// The values one token after the other, `(N, T, D)`.
    pub fn to_rows(&self) -> Vec<f32> {
        self.values.whole().into_owned()
    }

    /// The same values kept in another precision, as all that is computed from them will be.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        #[cfg(feature = "cuda")]
        if let Some(array) = self.values.on_device() {
            if precision != self.precision() {
                let cast = crate::cuda::cast(array, precision).expect("a copy has room");
                self.values = Arc::new(Values::Device(cast));
            }
            return self;
        }
        if precision != self.precision() {
            let values = Values::take_whole(self.values);
            self.values = Arc::new(Values::new(values, precision));
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
        Ok(self.slot.take(gradients)?)
    }

    /// The output of an operation, whose gradient `backward` turns into gradients of what went in.
    ///
    /// `backward` gets the gradients of the pass and the gradient of the output; it is not called if none arrived.
    fn output(
        device: &Device,
        shape: [usize; 3],
        values: Arc<Values>,
        mut recording: Recording,
        backward: Option<impl FnOnce(&mut Gradients, Vec<f32>) -> Result<(), DeviceError> + 'static>,
    ) -> Result<Self, OpError> {
        let slot = GradientSlot::new(device, values.len());
        let needs_gradient = recording.is_on() && backward.is_some();
        if let (true, Some(backward)) = (recording.is_on(), backward) {
            let slot = slot.clone();
            recording.add_backward_op(move |gradients| match slot.take(gradients)? {
                Some(gradient) => backward(gradients, gradient),
                None => Ok(()),
            });
        }
        Ok(Self { values, shape, slot, needs_gradient, recording })
    }

    /// [`output`](Self::output) of an operation on the CUDA device.
    #[cfg(feature = "cuda")]
    pub(crate) fn output_on_device(
        device: &Device,
        shape: [usize; 3],
        values: Arc<Values>,
        mut recording: Recording,
        backward: Option<impl FnOnce(&mut Gradients, CudaSlice<f32>) -> Result<(), DeviceError> + 'static>,
    ) -> Result<Self, OpError> {
        let slot = GradientSlot::new(device, values.len());
        let needs_gradient = recording.is_on() && backward.is_some();
        if let (true, Some(backward)) = (recording.is_on(), backward) {
            let slot = slot.clone();
            recording.add_backward_op(move |gradients| match slot.take_slice(gradients)? {
                Some(gradient) => backward(gradients, gradient),
                None => Ok(()),
            });
        }
        Ok(Self { values, shape, slot, needs_gradient, recording })
    }

    /// A token a position of a map on the CUDA device, where both lie alike: the same values, and the same gradient.
    #[cfg(feature = "cuda")]
    fn of_map(map: crate::FeatureMap) -> Self {
        let [n, h, w, c] = map.shape();
        let (map, recording) = map.split_recording();
        Self {
            values: map.values,
            shape: [n, h * w, c],
            slot: map.slot.into_slot(),
            needs_gradient: map.needs_gradient && recording.is_on(),
            recording,
        }
    }
}
