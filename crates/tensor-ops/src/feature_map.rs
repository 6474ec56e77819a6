//! Images, and what lies between convolutions.

use std::sync::Arc;

#[cfg(feature = "cuda")]
use cudarc::driver::CudaSlice;
use dfdx::tensor::{Merge, Tape};

#[cfg(feature = "cuda")]
use crate::cuda::Array;

use crate::{
    Device, Gradients, OpError, Precision, Recording,
    device::{DeviceError, MapSlot},
    layout::Layout,
    norm::ChannelSums,
    values::Values,
};

/// Images or their features, logically `(N, H, W, C)`.
///
/// How the values lie in memory is nobody's business but this crate's: it is what is fastest. Come in by
/// [`from_nhwc`](Self::from_nhwc) and, should you need values of your own, out by [`to_nhwc`](Self::to_nhwc).
#[derive(Debug)]
pub struct FeatureMap {
    pub(crate) values: Arc<Values>,
    pub(crate) layout: Layout,
    pub(crate) slot: MapSlot,
    pub(crate) needs_gradient: bool,
    pub(crate) recording: Recording,
    /// Those of each channel, if a convolution has taken them for the batch norm that follows.
    pub(crate) sums: Option<Arc<Vec<ChannelSums>>>,
}

crate::recording::recorded_handle!(FeatureMap);

impl FeatureMap {
    /// From values one image after the other, channels innermost: `(N, H, W, C)`.
    ///
    /// The result is an input: no gradient is computed for it unless [`requires_gradient`](Self::requires_gradient)
    /// asks for one.
    ///
    /// # Errors
    ///
    /// When a size is 0, or the number of values is not `N * H * W * C`.
    pub fn from_nhwc(
        device: &Device,
        shape: [usize; 4],
        values: &[f32],
        recording: Recording,
    ) -> Result<Self, OpError> {
        let [n, h, w, c] = shape;
        if shape.contains(&0) {
            return Err(OpError::value("from_nhwc", "shape", shape, "every size must be at least 1"));
        }
        let layout = Layout { n, h, w, c };
        if values.len() != layout.len() {
            return Err(OpError::shape("from_nhwc", "number of values", layout.len(), values.len()));
        }
        #[cfg(feature = "cuda")]
        if crate::cuda::is_used() {
            let values = Values::Device(Array::F32(crate::cuda::upload_image_batch(values)?));
            return Self::input(device, layout, values, recording);
        }
        Self::input(device, layout, Values::F32(layout.pack(values)), recording)
    }

    /// The values one image after the other, channels innermost: `(N, H, W, C)`.
    pub fn to_nhwc(&self) -> Vec<f32> {
        #[cfg(feature = "cuda")]
        if self.values.on_device().is_some() {
            return self.values.whole().into_owned();
        }
        self.layout.unpack(&self.values.whole())
    }

    /// The same values kept in another precision, as all that is computed from them will be.
    ///
    /// # Errors
    ///
    /// When the device has no room for them.
    pub fn with_precision(mut self, precision: Precision) -> Result<Self, OpError> {
        #[cfg(feature = "cuda")]
        if let Some(array) = self.values.on_device() {
            if precision != self.precision() {
                let cast = crate::cuda::cast(array, precision)?;
                self.values = Arc::new(Values::Device(cast));
            }
            return Ok(self);
        }
        if precision != self.precision() {
            self.sums = None;
            let values = Values::take_whole(self.values);
            self.values = Arc::new(Values::new(values, precision));
        }
        Ok(self)
    }

    /// How the values are kept.
    pub fn precision(&self) -> Precision {
        self.values.precision()
    }

    /// `[N, H, W, C]`.
    pub fn shape(&self) -> [usize; 4] {
        [self.layout.n, self.layout.h, self.layout.w, self.layout.c]
    }

    /// Images.
    pub fn n(&self) -> usize {
        self.layout.n
    }

    /// Rows of pixels.
    pub fn h(&self) -> usize {
        self.layout.h
    }

    /// Columns of pixels.
    pub fn w(&self) -> usize {
        self.layout.w
    }

    /// Channels.
    pub fn c(&self) -> usize {
        self.layout.c
    }

    /// A second handle on the same values, not recorded. Gradients that reach either handle add up.
    ///
    /// For the identity branch of a residual block: the operation that joins the branches takes the recording from
    /// the other one.
    pub fn share(&self) -> Self {
        Self {
            values: Arc::clone(&self.values),
            layout: self.layout,
            slot: self.slot.clone(),
            needs_gradient: self.needs_gradient,
            recording: Recording::Off,
            sums: self.sums.clone(),
        }
    }

    /// A second handle on the same values, recorded on its own when this one is recorded.
    ///
    /// For a branch with operations of its own, such as a projection shortcut: the recordings merge where the branches
    /// join.
    pub fn fork(&self) -> Self {
        let recording = if self.is_recorded() { Recording::start() } else { Recording::Off };
        self.share().with_recording(recording)
    }

    /// Asks for the gradient of an input, to be had by [`gradient`](Self::gradient).
    pub fn requires_gradient(mut self) -> Self {
        self.needs_gradient = true;
        self
    }

    /// The gradient that reached this input, one image after the other: `(N, H, W, C)`. `None` if none did.
    ///
    /// Moves the gradient out of `gradients`. What lies between operations has no gradient left to ask for: its memory
    /// is freed as soon as it has been passed on.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn gradient(&self, gradients: &mut Gradients) -> Result<Option<Vec<f32>>, OpError> {
        let gradient = self.slot.take(gradients)?;
        #[cfg(feature = "cuda")]
        if self.values.on_device().is_some() {
            return Ok(gradient.map(Values::into_whole));
        }
        Ok(gradient.map(|values| self.layout.unpack(&values.whole())))
    }

    /// Image `i` of the result is image `order[i]`. Not recorded.
    ///
    /// # Errors
    ///
    /// When `order` is empty or names an image that is not there.
    pub fn select_images(&self, order: &[usize]) -> Result<Self, OpError> {
        if let Some(&out_of_range) = order.iter().find(|&&image| image >= self.n()) {
            let must = "every image must be below the number of images";
            return Err(OpError::value("select_images", "an image of the order", out_of_range, must));
        }
        if order.is_empty() {
            return Err(OpError::value(
                "select_images",
                "number of images",
                0,
                "at least one must be selected",
            ));
        }
        let layout = Layout { n: order.len(), ..self.layout };
        #[cfg(feature = "cuda")]
        if let Some(array) = self.values.on_device() {
            let selected = crate::cuda::gather_rows(array, order, layout.len() / layout.n)?;
            return Self::input(self.device(), layout, Values::Device(selected), Recording::Off);
        }
        let values = Values::F32(layout.gather_images(self.layout, &self.values.whole(), order));
        Self::input(self.device(), layout, values, Recording::Off)?.with_precision(self.precision())
    }

    pub(crate) fn input(
        device: &Device,
        layout: Layout,
        values: Values,
        recording: Recording,
    ) -> Result<Self, OpError> {
        let slot = MapSlot::new(device, layout.len());
        let values = Arc::new(values);
        Ok(Self { values, layout, slot, needs_gradient: false, recording, sums: None })
    }

    /// The output of an operation, whose gradient `backward` turns into gradients of what went in.
    ///
    /// `backward` gets the gradients of the pass and the gradient of the output, in the precision of the output; it is not
    /// called if none arrived.
    pub(crate) fn output(
        slot: MapSlot,
        layout: Layout,
        values: Arc<Values>,
        mut recording: Recording,
        backward: Option<impl FnOnce(&mut Gradients, Values) -> Result<(), DeviceError> + 'static>,
    ) -> Self {
        let needs_gradient = recording.is_on() && backward.is_some();
        if let (true, Some(backward)) = (recording.is_on(), backward) {
            let (slot, precision) = (slot.clone(), values.precision());
            recording.add_backward_op(move |gradients| match slot.take(gradients)? {
                Some(gradient) => backward(gradients, gradient.with_precision(precision)),
                None => Ok(()),
            });
        }
        Self { values, layout, slot, needs_gradient, recording, sums: None }
    }

    /// [`output`](Self::output) of an operation on the CUDA device.
    #[cfg(feature = "cuda")]
    pub(crate) fn output_on_device(
        slot: MapSlot,
        layout: Layout,
        values: Arc<Values>,
        mut recording: Recording,
        backward: Option<impl FnOnce(&mut Gradients, CudaSlice<f32>) -> Result<(), DeviceError> + 'static>,
    ) -> Self {
        let needs_gradient = recording.is_on() && backward.is_some();
        if let (true, Some(backward)) = (recording.is_on(), backward) {
            let slot = slot.clone();
            recording.add_backward_op(move |gradients| match slot.take_slice(gradients)? {
                Some(gradient) => backward(gradients, gradient),
                None => Ok(()),
            });
        }
        Self { values, layout, slot, needs_gradient, recording, sums: None }
    }
}

/// The recordings of two branches in one.
pub(crate) fn join(a: Recording, b: Recording) -> Recording {
    a.merge(b)
}
