//! Scores of prototypes.

use nn::{Builder, cosines, random_directions};
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{ConfigError, Head, Module, ModuleContext};
use tensor_ops::{Features, Mode, OpError, Parameter};

use crate::width::check_width;

/// The config of [`Prototypes`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct PrototypesConfig {
    /// Number of prototypes. SwAV: 3000 for ImageNet, three times its classes.
    pub out: usize,
}

/// SwAV's.
impl Default for PrototypesConfig {
    fn default() -> Self {
        Self { out: 3000 }
    }
}

/// The cosine of an embedding with each of `K` prototypes: `(N, D)` to `(N, K)`, from -1 to 1 (SwAV: Caron et al. 2020,
/// arXiv:2006.09882, §3.1).
///
/// Embeddings and prototypes are scaled to unit length where they are used; the paper scales the weights themselves after each
/// step, which gives the same scores. Here a longer row turns more slowly.
pub struct Prototypes {
    /// `(D, K)`.
    weight: Parameter,
    n_outputs: usize,
}

impl Prototypes {
    /// The head for `config`, with prototypes in random directions.
    ///
    /// # Errors
    /// If `out` is out of range.
    pub fn new(config: PrototypesConfig, context: &ModuleContext) -> Result<Self, ConfigError> {
        check_width("out", config.out)?;
        let weight = random_directions(&Builder::of(context), (context.n_inputs, config.out))?;
        Ok(Self { weight, n_outputs: config.out })
    }
}

impl Module for Prototypes {
    plugin_api::visit! { self;
        "weight" => self.weight,
    }
}

impl Head for Prototypes {
    fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    fn forward(&mut self, features: Features, _: Mode) -> Result<Features, OpError> {
        cosines(features, &self.weight)
    }
}
