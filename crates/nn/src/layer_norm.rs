//! Layer norm.

use plugin_api::ConfigError;
use tensor_ops::LayerNorm;

use crate::Builder;
use crate::builder::unplaced;

/// The config of [`LayerNorm`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNormConfig {
    /// The width of a token.
    pub dim: usize,
    /// Added to the variance. ViTs: 1e-6.
    pub eps: f32,
}

impl LayerNormConfig {
    /// The layer, with scale 1 and shift 0.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn build(self, builder: &Builder<'_>) -> Result<LayerNorm, ConfigError> {
        LayerNorm::new(builder.device(), self.dim, self.eps).map_err(unplaced)
    }
}
