//! Checks the weight of a term.

use plugin_api::ConfigError;

/// Refuses what cannot weigh a term; `field` is where the reader wrote it.
pub(crate) fn check_coefficient(field: &'static str, coefficient: f64) -> Result<(), ConfigError> {
    if coefficient >= 0.0 && coefficient.is_finite() {
        return Ok(());
    }
    Err(ConfigError::field(field, coefficient, "it must be at least 0, and finite"))
}
