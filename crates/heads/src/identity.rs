//! No head.

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{Head, Module, ModuleContext};
use tensor_ops::{Features, Mode, OpError, Rows as _};

/// The config of [`Identity`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct IdentityConfig {}

/// Returns its input, `(N, D)`. It replaces a head, such as the predictor in an ablation of MoCo v3 (Chen et al. 2021,
/// arXiv:2104.02057, §6.2).
pub struct Identity {
    n_features: usize,
}

impl Identity {
    /// The identity for these inputs.
    pub fn new(IdentityConfig {}: IdentityConfig, context: &ModuleContext) -> Self {
        Self { n_features: context.n_inputs }
    }
}

impl Module for Identity {
    plugin_api::visit! { self; }
}

impl Head for Identity {
    fn n_outputs(&self) -> usize {
        self.n_features
    }

    fn forward(&mut self, features: Features, _: Mode) -> Result<Features, OpError> {
        match features.d() {
            d if d == self.n_features => Ok(features),
            d => Err(OpError::Shape {
                op: "identity",
                what: "width of the features",
                expected: self.n_features.to_string(),
                got: d.to_string(),
            }),
        }
    }
}
