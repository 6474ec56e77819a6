//! MoCo v1's head.

use nn::{Builder, Linear, LinearConfig};
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{ConfigError, Head, Module, ModuleContext};
use tensor_ops::{Features, Mode, OpError};

use crate::width::check_width;

/// The config of [`LinearHead`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct LinearHeadConfig {
    /// Embedding dimension. MoCo: 128.
    pub out: usize,
}

/// MoCo v1's.
impl Default for LinearHeadConfig {
    fn default() -> Self {
        Self { out: 128 }
    }
}

/// One linear layer with bias: `(N, D)` to `(N, C)`.
pub struct LinearHead {
    linear: Linear,
    n_outputs: usize,
}

impl LinearHead {
    /// The head for `config`, with PyTorch's initialization.
    ///
    /// # Errors
    /// If `out` is out of range.
    pub fn new(config: LinearHeadConfig, context: &ModuleContext) -> Result<Self, ConfigError> {
        check_width("out", config.out)?;
        let linear = LinearConfig::new(context.n_inputs, config.out).build(&Builder::of(context))?;
        Ok(Self { linear, n_outputs: config.out })
    }
}

impl Module for LinearHead {
    plugin_api::visit! { self;
        "" => self.linear,
    }
}

impl Head for LinearHead {
    fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    fn forward(&mut self, features: Features, _: Mode) -> Result<Features, OpError> {
        self.linear.forward(features)
    }
}
