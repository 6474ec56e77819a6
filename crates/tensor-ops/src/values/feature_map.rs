//! Images, and what lies between convolutions.

use std::{any::Any, sync::Arc};

use kernels_cpu::{Layout, Precision};

use super::{AnyValues, Place, cast, check_len};
use crate::{
    Device, Gradients, OpError, Recording,
    backend::{Backend, Computed, on},
    tape::{Pass, Slot, recorded_handle},
};

/// Images or their features, logically `(N, H, W, C)`.
///
/// How the values lie in memory is nobody's business but this crate's: it is what is fastest. Come in by
/// [`from_nhwc`](Self::from_nhwc) and, should you need values of your own, out by [`to_nhwc`](Self::to_nhwc).
#[derive(Debug)]
pub struct FeatureMap {
    pub(crate) values: Arc<AnyValues>,
    pub(crate) layout: Layout,
    pub(crate) slot: Slot,
    pub(crate) needs_gradient: bool,
    pub(crate) recording: Recording,
    /// [`Backend::Sums`] of each channel, if a convolution has taken them for the batch norm that follows.
    pub(crate) sums: Option<Arc<dyn Any + Send + Sync>>,
}

recorded_handle!(FeatureMap);

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
        check_len("from_nhwc", "number of values", &shape, values.len())?;
        let layout = Layout { n, h, w, c };
        let values = on!(Place::of_process(), |backend| pack(backend, layout, values)?);
        Ok(Self::input(device, layout, values, recording))
    }

    /// The values one image after the other, channels innermost: `(N, H, W, C)`.
    pub fn to_nhwc(&self) -> Vec<f32> {
        on!(self.values.place(), |backend| unpack(backend, self.layout, &self.values))
            .expect("a device gives back what it holds")
    }

    /// The same values kept in another precision, as all that is computed from them will be.
    ///
    /// # Errors
    ///
    /// When the device has no room for them.
    pub fn with_precision(mut self, precision: Precision) -> Result<Self, OpError> {
        if precision != self.precision() {
            self.sums = None;
            self.values = on!(self.values.place(), |backend| cast(backend, self.values, precision)?);
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
        let Some(gradient) = self.slot.take_any(&mut gradients.by_slot) else { return Ok(None) };
        Ok(Some(on!(gradient.place(), |backend| unpack(backend, self.layout, &gradient))?))
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
        let values = on!(self.values.place(), |backend| select(backend, self.layout, &self.values, order)?);
        Ok(Self::input(self.device(), layout, values, Recording::Off))
    }

    pub(crate) fn input(device: &Device, layout: Layout, values: AnyValues, recording: Recording) -> Self {
        let slot = Slot::new(device, layout.len());
        Self { values: Arc::new(values), layout, slot, needs_gradient: false, recording, sums: None }
    }

    /// The output of an operation, whose gradient `backward` turns into gradients of what went in.
    ///
    /// `backward` gets the gradient of the output in the precision of its values; it is not called if none arrived.
    pub(crate) fn output<B: Backend>(
        backend: B,
        device: &Device,
        layout: Layout,
        values: Arc<AnyValues>,
        mut recording: Recording,
        backward: Option<impl FnOnce(&mut Pass<'_>, B::Values) -> Computed<()> + 'static>,
    ) -> Self {
        let slot = Slot::new(device, layout.len());
        let needs_gradient = recording.is_on() && backward.is_some();
        if let (true, Some(backward)) = (recording.is_on(), backward) {
            let (slot, precision) = (slot.clone(), values.precision());
            recording.record(move |pass| match slot.take::<B>(pass.by_slot) {
                Some(gradient) => backward(pass, backend.cast(gradient, precision)?),
                None => Ok(()),
            });
        }
        Self { values, layout, slot, needs_gradient, recording, sums: None }
    }
}

fn pack<B: Backend>(backend: B, layout: Layout, nhwc: &[f32]) -> Computed<AnyValues> {
    backend.pack(layout, nhwc).map(B::any)
}

fn unpack<B: Backend>(backend: B, layout: Layout, values: &AnyValues) -> Computed<Vec<f32>> {
    backend.unpack(layout, B::of(values))
}

fn select<B: Backend>(
    backend: B,
    layout: Layout,
    values: &AnyValues,
    order: &[usize],
) -> Computed<AnyValues> {
    backend.select_images(layout, B::of(values), order).map(B::any)
}
