//! The head of MoCo v2, and the projector and predictor of v3.

use nn::Builder;
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::{Deserialize, Serialize};
use plugin_api::{ConfigError, Head, Module, ModuleContext};
use tensor_ops::{Features, Mode, OpError};

use crate::width::check_width;

/// The config of [`Mlp`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct MlpConfig {
    /// Number of linear layers. MoCo v2: 2; v3's projector: 2 for a ResNet, 3 for a ViT; v3's predictor: 2.
    pub layers: usize,
    /// Hidden dimension; by default the input dimension, as in MoCo v2. MoCo v3: 4096.
    pub hidden: Option<usize>,
    /// Embedding dimension. MoCo v2: 128; v3: 256.
    pub out: usize,
    /// Normalization after each layer but the last, before its ReLU. MoCo v2: None; v3: Batch. With batch norm, layers
    /// have no bias.
    pub norm: Norm,
    /// Whether batch norm without affine parameters follows the last layer; needs `norm: Batch`. MoCo v3: true, but
    /// false for the predictor of a ResNet.
    pub last_norm: bool,
}

/// Normalization after a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
pub enum Norm {
    /// None.
    None,
    /// Batch norm.
    Batch,
}

/// MoCo v2's.
impl Default for MlpConfig {
    fn default() -> Self {
        Self { layers: 2, hidden: None, out: 128, norm: Norm::None, last_norm: false }
    }
}

impl MlpConfig {
    fn check(&self, context: &ModuleContext) -> Result<(), ConfigError> {
        /// Deeper heads are typos.
        const MAX_LAYERS: usize = 64;
        if !(1..=MAX_LAYERS).contains(&self.layers) {
            let must = format!("it must be between 1 and {MAX_LAYERS}");
            return Err(ConfigError::field("layers", self.layers, must));
        }
        if let Some(hidden) = self.hidden {
            check_width("hidden", hidden)?;
        }
        check_width("out", self.out)?;
        if self.last_norm && self.norm == Norm::None {
            return Err(ConfigError::field("last_norm", true, "it must be false unless `norm` is Batch"));
        }
        if self.norm == Norm::Batch && context.batch < 2 {
            let message = "batch norm would see a single row of features, which it would set to 0";
            return Err(ConfigError::unfit(message, "use a batch of at least 2, or `norm: None`"));
        }
        Ok(())
    }
}

/// Linear layers with ReLU between them: `(N, D)` to `(N, C)`.
///
/// Layers are numbered as in the reference's PyTorch `nn.Sequential`, where batch norm and ReLU count too.
pub struct Mlp {
    layers: nn::Mlp,
    n_outputs: usize,
}

impl Mlp {
    /// The head for `config`, with PyTorch's initialization.
    ///
    /// # Errors
    /// If a number is out of range, or two fields contradict each other.
    pub fn new(config: MlpConfig, context: &ModuleContext) -> Result<Self, ConfigError> {
        config.check(context)?;
        let layers = nn::MlpConfig {
            n_inputs: context.n_inputs,
            hidden: config.hidden.unwrap_or(context.n_inputs),
            n_outputs: config.out,
            layers: config.layers,
            norm: match (config.norm, config.last_norm) {
                (Norm::None, _) => nn::MlpNorm::None,
                (Norm::Batch, false) => nn::MlpNorm::Hidden,
                (Norm::Batch, true) => nn::MlpNorm::All,
            },
        };
        Ok(Self { layers: layers.build(&Builder::of(context))?, n_outputs: config.out })
    }
}

impl Module for Mlp {
    plugin_api::visit! { self;
        "" => self.layers,
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        self.layers.batch_norm_splits()
    }
}

impl Head for Mlp {
    fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    fn forward(&mut self, features: Features, mode: Mode) -> Result<Features, OpError> {
        self.layers.forward(features, mode)
    }
}
