//! The config of the loss.

use plugin_api::{ConfigError, check_temperature};

/// The config of [`InBatch`](crate::InBatch).
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InBatchConfig {
    /// Temperature `T`, 0.001 to 1000. MoCo v3: 0.2 for a ViT; 1.0 for a ResNet, and by default in its code.
    pub temperature: f64,
}

impl InBatchConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        check_temperature(self.temperature).map(drop)
    }
}
