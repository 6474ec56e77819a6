//! A block: a convolution of each channel, and an MLP of each pixel.

use nn::{Builder, Conv, ConvConfig, Init, LayerNormConfig, Linear, LinearConfig};
use plugin_api::{ConfigError, Module};
use tensor_ops::{
    ConvAlgorithm, ConvGeometry, LayerNorm, OpError, Parameter, ParameterKind, Tokens, add_scaled_images,
    layer_norm, map_from_tokens, scale_features, tokens_from_map,
};

/// Added to the variance, in every layer norm of a ConvNeXt.
pub(crate) const LAYER_NORM_EPS: f32 = 1e-6;

/// Of the initial values of all weights.
///
/// The paper cuts the normal distribution at -2 and 2, where nothing of it is.
pub(crate) const WEIGHTS: Init = Init::Normal { std: 0.02 };

/// Side of the depthwise convolution.
const SIDE: usize = 7;

/// `x + gamma * mlp(norm(depthwise(x)))`.
pub(crate) struct Block {
    /// The scale of the branch, `D`.
    gamma: Parameter,
    depthwise: Conv,
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl Block {
    /// The block of `dim` channels that `builder` is for, whose scales start at `layer_scale`.
    pub(crate) fn new(dim: usize, layer_scale: f64, builder: &Builder<'_>) -> Result<Self, ConfigError> {
        let depthwise = ConvConfig {
            n_inputs: dim,
            n_outputs: dim,
            groups: dim,
            geometry: ConvGeometry::square(SIDE, 1, SIDE / 2),
            weight: WEIGHTS,
            bias: Some(Init::ZEROS),
            algorithm: ConvAlgorithm::Auto,
        };
        let linear = |name: &str, n_inputs: usize, n_outputs: usize| {
            let config = LinearConfig { n_inputs, n_outputs, weight: WEIGHTS, bias: Some(Init::ZEROS) };
            config.build(&builder.part(name))
        };
        let start = Init::Constant(layer_scale as f32);
        Ok(Self {
            gamma: builder.parameter("gamma", ParameterKind::Vector, &[dim], start)?,
            depthwise: depthwise.build(&builder.part("conv_dw"))?,
            norm: LayerNormConfig { dim, eps: LAYER_NORM_EPS }.build(builder)?,
            fc1: linear("mlp.fc1", dim, 4 * dim)?,
            fc2: linear("mlp.fc2", 4 * dim, dim)?,
        })
    }

    /// The pixels of maps of `(H, W)`, `(N, H W, D)` to `(N, H W, D)`; `factors` are those of each image's branch.
    pub(crate) fn forward(
        &self,
        x: Tokens,
        size: (usize, usize),
        factors: Option<Vec<f32>>,
    ) -> Result<Tokens, OpError> {
        let identity = x.share();
        let factors = factors.unwrap_or_else(|| vec![1.0; x.n()]);
        let x = self.depthwise.forward(map_from_tokens(x, size)?)?; // (N, H W, D) → (N, H, W, D)
        let x = layer_norm(tokens_from_map(x)?, &self.norm)?; // → (N, H W, D)
        let x = self.fc1.forward_gelu(x)?; // → (N, H W, 4 D)
        let x = self.fc2.forward_tokens(x)?; // → (N, H W, D)
        add_scaled_images(scale_features(x, &self.gamma)?, factors, identity)
    }
}

/// The order of timm's `state_dict`, which has a module's own parameters first.
impl Module for Block {
    plugin_api::visit! { self;
        "gamma" => self.gamma,
        "conv_dw" => self.depthwise,
        "norm" => self.norm,
        "mlp.fc1" => self.fc1,
        "mlp.fc2" => self.fc2,
    }
}
