//! A convolution.

use plugin_api::{ConfigError, Module};
use tensor_ops::{ConvAlgorithm, ConvGeometry, FeatureMap, OpError, Parameter, ParameterKind, conv2d};

use crate::{Builder, Init};

/// The config of [`Conv`].
#[derive(Clone, Copy, Debug)]
pub struct ConvConfig {
    /// Input channels.
    pub n_inputs: usize,
    /// Output channels.
    pub n_outputs: usize,
    /// Kernel, stride and padding.
    pub geometry: ConvGeometry,
    /// How the weights start.
    pub weight: Init,
    /// How the biases start, if there are any.
    pub bias: Option<Init>,
    /// How it is computed.
    pub algorithm: ConvAlgorithm,
}

/// A convolution: `(N, H, W, I)` to `(N, H', W', O)`.
pub struct Conv {
    /// `(KH, KW, I, O)`.
    pub weight: Parameter,
    /// `(O)`.
    pub bias: Option<Parameter>,
    pub(crate) geometry: ConvGeometry,
    pub(crate) algorithm: ConvAlgorithm,
}

impl ConvConfig {
    /// The layer.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn build(self, builder: &Builder<'_>) -> Result<Conv, ConfigError> {
        let Self { n_inputs, n_outputs, geometry, weight, bias, algorithm } = self;
        let shape = [geometry.kernel.0, geometry.kernel.1, n_inputs, n_outputs];
        let weight = builder.parameter("weight", ParameterKind::Kernel, &shape, weight)?;
        let bias = bias.map(|init| builder.parameter("bias", ParameterKind::Vector, &[n_outputs], init));
        Ok(Conv { weight, bias: bias.transpose()?, geometry, algorithm })
    }
}

impl Conv {
    /// `(N, H, W, I)` to `(N, H', W', O)`.
    ///
    /// # Errors
    /// If the channels are others, or the kernel does not fit into the image.
    pub fn forward(&self, x: FeatureMap) -> Result<FeatureMap, OpError> {
        conv2d(x, &self.weight, self.bias.as_ref(), self.geometry, self.algorithm)
    }
}

impl Module for Conv {
    plugin_api::visit! { self;
        "weight" => self.weight,
        "bias" => self.bias,
    }
}
