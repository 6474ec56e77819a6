//! A convolution.

use plugin_api::{ConfigError, Module};
use tensor_ops::{
    ConvAlgorithm, ConvGeometry, FeatureMap, OpError, Parameter, ParameterKind, conv2d, grouped_conv2d,
};

use crate::{Builder, Init};

/// The config of [`Conv`].
#[derive(Clone, Copy, Debug)]
pub struct ConvConfig {
    /// Input channels.
    pub n_inputs: usize,
    /// Output channels.
    pub n_outputs: usize,
    /// Groups of channels, each convolved by itself; they divide the channels on both sides. 1 is the usual convolution.
    pub groups: usize,
    /// Kernel, stride and padding.
    pub geometry: ConvGeometry,
    /// How the weights start.
    pub weight: Init,
    /// How the biases start, if there are any.
    pub bias: Option<Init>,
    /// How it is computed; in groups, each output by its own products.
    pub algorithm: ConvAlgorithm,
}

/// A convolution: `(N, H, W, I)` to `(N, H', W', O)`.
pub struct Conv {
    /// `(KH, KW, I / groups, O)`.
    pub weight: Parameter,
    /// `(O)`.
    pub bias: Option<Parameter>,
    pub(crate) groups: usize,
    pub(crate) geometry: ConvGeometry,
    pub(crate) algorithm: ConvAlgorithm,
}

impl ConvConfig {
    /// The layer.
    ///
    /// # Errors
    /// If the groups do not divide the channels, or the device has no room for it.
    pub fn build(self, builder: &Builder<'_>) -> Result<Conv, ConfigError> {
        let Self { n_inputs, n_outputs, groups, geometry, weight, bias, algorithm } = self;
        if groups == 0 || !n_inputs.is_multiple_of(groups) || !n_outputs.is_multiple_of(groups) {
            let must =
                format!("it must divide the {n_inputs} input channels and the {n_outputs} output channels");
            return Err(ConfigError::field("groups", groups, must));
        }
        let shape = [geometry.kernel.0, geometry.kernel.1, n_inputs / groups, n_outputs];
        let weight = builder.parameter("weight", ParameterKind::Kernel, &shape, weight)?;
        let bias = bias.map(|init| builder.parameter("bias", ParameterKind::Vector, &[n_outputs], init));
        Ok(Conv { weight, bias: bias.transpose()?, groups, geometry, algorithm })
    }
}

impl Conv {
    /// `(N, H, W, I)` to `(N, H', W', O)`.
    ///
    /// # Errors
    /// If the channels are others, or the kernel does not fit into the image.
    pub fn forward(&self, x: FeatureMap) -> Result<FeatureMap, OpError> {
        let Self { weight, bias, groups, geometry, algorithm } = self;
        match groups {
            1 => conv2d(x, weight, bias.as_ref(), *geometry, *algorithm),
            _ => grouped_conv2d(x, weight, bias.as_ref(), *geometry, *groups),
        }
    }
}

impl Module for Conv {
    plugin_api::visit! { self;
        "weight" => self.weight,
        "bias" => self.bias,
    }
}
