//! A convolution and the batch norm behind it.

use plugin_api::{ConfigError, Module, ModuleContext};
use tensor_ops::{
    BatchNorm, ConvAlgorithm, ConvGeometry, FeatureMap, Mode, OpError, Parameter, ParameterKind, batch_norm,
    batch_norm_add_relu, batch_norm_relu, conv2d, conv2d_before_norm,
};

/// A convolution without bias, and batch norm.
pub(crate) struct ConvNorm {
    weight: Parameter,
    norm: BatchNorm,
    geometry: ConvGeometry,
    algorithm: ConvAlgorithm,
    names: Names,
}

/// How torchvision calls the two.
pub(crate) struct Names {
    /// For instance `conv1`.
    pub(crate) conv: String,
    /// For instance `bn1`.
    pub(crate) norm: String,
}

impl Names {
    /// `conv1` and `bn1`.
    pub(crate) fn numbered(number: usize) -> Self {
        Self { conv: format!("conv{number}"), norm: format!("bn{number}") }
    }

    /// `downsample.0` and `downsample.1`.
    pub(crate) fn downsample() -> Self {
        Self { conv: "downsample.0".into(), norm: "downsample.1".into() }
    }
}

/// What a [`ConvNorm`] is built from.
pub(crate) struct Shape {
    /// Channels that come in.
    pub(crate) n_inputs: usize,
    /// Channels that go out.
    pub(crate) n_outputs: usize,
    /// Pixels of the kernel, in height and width; odd.
    pub(crate) side_px: usize,
    /// Pixels from one place of the kernel to the next.
    pub(crate) stride: usize,
}

/// What all layers of one ResNet are built with.
pub(crate) struct Builder<'a> {
    pub(crate) context: &'a ModuleContext,
    pub(crate) batch_norm_splits: usize,
    pub(crate) algorithm: ConvAlgorithm,
}

impl Builder<'_> {
    /// A convolution that keeps the size at stride 1, with weights from `N(0, 2 / (O·KH·KW))`: Kaiming's normal
    /// initialization for the fan-out (He et al. 2015, arXiv:1502.01852, Eq. 14). `prefix` is the block's name, with a dot.
    pub(crate) fn conv_norm(
        &self,
        prefix: &str,
        names: Names,
        shape: Shape,
    ) -> Result<ConvNorm, ConfigError> {
        let Shape { n_inputs, n_outputs, side_px, stride } = shape;
        let std = (2.0 / (n_outputs * side_px * side_px) as f64).sqrt();
        let mut rng = self.context.rng(&format!("{prefix}{}.weight", names.conv));
        let n_values = side_px * side_px * n_inputs * n_outputs;
        let values = (0..n_values).map(|_| (std * rng.normal()) as f32).collect();
        let sides = [side_px, side_px, n_inputs, n_outputs];
        let weight =
            Parameter::new(&self.context.device, ParameterKind::Kernel, &sides, values).map_err(unplaced)?;
        let mut norm = BatchNorm::new(&self.context.device, n_outputs).map_err(unplaced)?;
        norm.splits = self.batch_norm_splits;
        let geometry = ConvGeometry::square(side_px, stride, side_px / 2);
        Ok(ConvNorm { weight, norm, geometry, algorithm: self.algorithm, names })
    }
}

/// Building fails on the device alone, for shapes are ours.
fn unplaced(error: OpError) -> ConfigError {
    ConfigError::unfit(
        format!("the parameters cannot be placed: {error}"),
        "use a smaller `width` or fewer blocks",
    )
}

impl ConvNorm {
    pub(crate) fn forward(&mut self, x: FeatureMap, mode: Mode) -> Result<FeatureMap, OpError> {
        let x = self.convolve(x, mode)?;
        batch_norm(x, &mut self.norm, mode)
    }

    pub(crate) fn forward_relu(&mut self, x: FeatureMap, mode: Mode) -> Result<FeatureMap, OpError> {
        let x = self.convolve(x, mode)?;
        batch_norm_relu(x, &mut self.norm, mode)
    }

    pub(crate) fn forward_add_relu(
        &mut self,
        x: FeatureMap,
        residual: FeatureMap,
        mode: Mode,
    ) -> Result<FeatureMap, OpError> {
        let x = self.convolve(x, mode)?;
        batch_norm_add_relu(x, &mut self.norm, residual, mode)
    }

    fn convolve(&self, x: FeatureMap, mode: Mode) -> Result<FeatureMap, OpError> {
        // In evaluation the norm asks for no sums, and norms of several groups sum up each by itself.
        if mode == Mode::Train && self.norm.splits == 1 {
            conv2d_before_norm(x, &self.weight, self.geometry, self.algorithm)
        } else {
            conv2d(x, &self.weight, None, self.geometry, self.algorithm)
        }
    }

    /// Starts the batch norm's scale at 0.
    pub(crate) fn zero_scale(&mut self) -> Result<(), ConfigError> {
        match &mut self.norm.scale {
            Some(scale) => scale.set(&vec![0.0; scale.n_elements()]).map_err(unplaced),
            None => Ok(()),
        }
    }
}

impl Module for ConvNorm {
    plugin_api::visit! { self;
        format!("{}.weight", self.names.conv) => self.weight,
        self.names.norm => self.norm,
    }
}
