//! The convolutions of a ResNet, with torchvision's names and initialization.

use nn::{Builder, ConvNorm, ConvNormConfig, Init};
use plugin_api::{ConfigError, NormScope};
use tensor_ops::ConvAlgorithm;

/// torchvision's names of a convolution and its batch norm.
pub(crate) struct Names {
    /// For instance `conv1`.
    conv: String,
    /// For instance `bn1`.
    norm: String,
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

/// The configuration of a convolution.
pub(crate) struct Shape {
    /// Channels that come in.
    pub(crate) n_inputs: usize,
    /// Channels that go out.
    pub(crate) n_outputs: usize,
    /// Groups of channels that are convolved apart.
    pub(crate) groups: usize,
    /// Pixels of the kernel, in height and width; odd.
    pub(crate) side_px: usize,
    /// Pixels from one place of the kernel to the next.
    pub(crate) stride: usize,
}

/// Shared settings of all layers of a ResNet.
pub(crate) struct Common {
    pub(crate) norm_scope: NormScope,
    pub(crate) algorithm: ConvAlgorithm,
}

impl Common {
    /// A convolution and its batch norm, of the block that `builder` is for.
    pub(crate) fn conv_norm(
        &self,
        builder: &Builder<'_>,
        names: Names,
        shape: Shape,
    ) -> Result<ConvNorm, ConfigError> {
        let Shape { n_inputs, n_outputs, groups, side_px, stride } = shape;
        let config = ConvNormConfig {
            conv_name: names.conv,
            norm_name: names.norm,
            n_inputs,
            n_outputs,
            groups,
            side_px,
            stride,
            weight: Init::kaiming_fan_out(n_outputs * side_px * side_px),
            algorithm: self.algorithm,
            scope: self.norm_scope.clone(),
        };
        config.build(builder)
    }
}
