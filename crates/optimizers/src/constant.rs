//! A constant learning rate.

use plugin_api::{Progress, Schedule};

/// The config of [`Constant`]: `()`.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConstantConfig {}

/// Factor 1 throughout.
#[derive(Debug, Clone)]
pub struct Constant;

impl Constant {
    /// The schedule for `config`.
    pub fn new(_: ConstantConfig) -> Self {
        Self
    }
}

impl Schedule for Constant {
    fn factor(&self, _: Progress) -> f64 {
        1.0
    }
}
