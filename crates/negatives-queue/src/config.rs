//! The config of a queue.

use plugin_api::{ConfigError, LossContext, check_temperature};

/// The config of [`Queue`](crate::Queue).
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueConfig {
    /// Queue length `K`: the number of keys kept, at least those of one step. MoCo v1, v2: 65536; its CIFAR-10 demo:
    /// 4096. It need not be a multiple of the batch size.
    #[serde(default = "QueueConfig::moco_len")]
    pub len: usize,
    /// Temperature `T`, 0.001 to 1000. MoCo v1: 0.07; v2: 0.2.
    pub temperature: f64,
}

impl QueueConfig {
    fn moco_len() -> usize {
        65536
    }

    pub(crate) fn check(&self, context: &LossContext) -> Result<(), ConfigError> {
        let (len, arrive) = (self.len, context.keys_per_step);
        if len == 0 || len < arrive {
            let must = format!("it must be at least the {arrive} keys that arrive in one step");
            return Err(ConfigError::field("len", len, must));
        }
        check_temperature(self.temperature).map(drop)
    }
}
