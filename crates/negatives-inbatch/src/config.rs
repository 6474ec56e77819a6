//! The config of the loss.

use plugin_api::ConfigError;

/// The config of [`InBatch`](crate::InBatch).
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InBatchConfig {
    /// Temperature `T`. MoCo v3: 0.2 for a ViT; 1.0 for a ResNet, and by default in its code.
    pub temperature: f64,
}

impl InBatchConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(ConfigError::field("temperature", self.temperature, "it must be more than 0"));
        }
        Ok(())
    }
}
