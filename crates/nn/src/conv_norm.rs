//! A convolution followed by batch norm.

use plugin_api::{ConfigError, Module, NormScope};
use tensor_ops::{
    BatchNorm, ConvAlgorithm, ConvGeometry, FeatureMap, Mode, OpError, batch_norm, batch_norm_add_relu,
    batch_norm_relu, conv2d_before_norm, grouped_conv2d_before_norm,
};

use crate::builder::unplaced;
use crate::{Builder, Conv, ConvConfig, Init};

/// The config of [`ConvNorm`].
#[derive(Clone, Debug)]
pub struct ConvNormConfig {
    /// What the convolution is called, for instance `conv1`.
    pub conv_name: String,
    /// What the batch norm is called, for instance `bn1`.
    pub norm_name: String,
    /// Channels that come in.
    pub n_inputs: usize,
    /// Channels that go out.
    pub n_outputs: usize,
    /// Groups of channels that are convolved apart, see [`ConvConfig::groups`].
    pub groups: usize,
    /// Pixels of the kernel, in height and width; odd. At stride 1 the image keeps its size.
    pub side_px: usize,
    /// The stride.
    pub stride: usize,
    /// How the weights of the convolution start. The batch norm starts with scale 1 and shift 0.
    pub weight: Init,
    /// How the convolution is computed.
    pub algorithm: ConvAlgorithm,
    /// What the batch norm takes its statistics over, from [`ModuleContext::norm_scope`](plugin_api::ModuleContext::norm_scope).
    pub scope: NormScope,
}

/// A convolution without bias, and batch norm.
pub struct ConvNorm {
    conv: Conv,
    norm: BatchNorm,
    conv_name: String,
    norm_name: String,
}

impl ConvNormConfig {
    /// The layer; `builder` is for the module that holds it.
    ///
    /// # Errors
    /// As [`ConvConfig::build`].
    pub fn build(self, builder: &Builder<'_>) -> Result<ConvNorm, ConfigError> {
        let Self { conv_name, norm_name, n_inputs, n_outputs, groups, weight, algorithm, scope, .. } = self;
        let geometry = ConvGeometry::square(self.side_px, self.stride, self.side_px / 2);
        let conv = ConvConfig { n_inputs, n_outputs, groups, geometry, weight, bias: None, algorithm };
        let conv = conv.build(&builder.part(&conv_name))?;
        let mut norm = BatchNorm::new(builder.device(), n_outputs).map_err(unplaced)?;
        NormScope { splits: norm.splits, processes: norm.processes } = scope;
        Ok(ConvNorm { conv, norm, conv_name, norm_name })
    }
}

impl ConvNorm {
    /// `norm(conv(x))`, `(N, H, W, I)` to `(N, H', W', O)`.
    ///
    /// # Errors
    /// If the channels are others, the batch does not divide into the parts of the norm, or its processes cannot exchange
    /// statistics.
    pub fn forward(&mut self, x: FeatureMap, mode: Mode) -> Result<FeatureMap, OpError> {
        let x = self.convolve(x, mode)?;
        batch_norm(x, &mut self.norm, mode)
    }

    /// `relu(norm(conv(x)))`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_relu(&mut self, x: FeatureMap, mode: Mode) -> Result<FeatureMap, OpError> {
        let x = self.convolve(x, mode)?;
        batch_norm_relu(x, &mut self.norm, mode)
    }

    /// `relu(norm(conv(x)) + residual)`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if the residual has another shape.
    pub fn forward_add_relu(
        &mut self,
        x: FeatureMap,
        residual: FeatureMap,
        mode: Mode,
    ) -> Result<FeatureMap, OpError> {
        let x = self.convolve(x, mode)?;
        batch_norm_add_relu(x, &mut self.norm, residual, mode)
    }

    fn convolve(&self, x: FeatureMap, mode: Mode) -> Result<FeatureMap, OpError> {
        // In evaluation the norm asks for no sums, and norms of several parts sum up each by itself.
        if mode == Mode::Train && self.norm.splits == 1 {
            let Conv { weight, groups, geometry, algorithm, .. } = &self.conv;
            match groups {
                1 => conv2d_before_norm(x, weight, *geometry, *algorithm),
                _ => grouped_conv2d_before_norm(x, weight, *geometry, *groups),
            }
        } else {
            self.conv.forward(x)
        }
    }

    /// Sets the batch norm's initial scale to 0.
    ///
    /// # Errors
    /// If the device fails.
    pub fn zero_scale(&mut self) -> Result<(), ConfigError> {
        match &mut self.norm.scale {
            Some(scale) => scale.set(&vec![0.0; scale.n_elements()]).map_err(unplaced),
            None => Ok(()),
        }
    }
}

impl Module for ConvNorm {
    plugin_api::visit! { self;
        self.conv_name => self.conv,
        self.norm_name => self.norm,
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        Some(self.norm.splits)
    }
}
