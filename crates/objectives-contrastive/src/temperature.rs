//! Checks a temperature.

use plugin_api::ConfigError;

/// Refuses what cannot divide similarities; `field` is where the reader wrote it.
pub(crate) fn check_temperature(field: &'static str, temperature: f64) -> Result<(), ConfigError> {
    /// Below, a similarity over it leaves the range of what is told apart in float32.
    const LOWEST: f64 = 1e-4;
    if temperature >= LOWEST && temperature.is_finite() {
        return Ok(());
    }
    Err(ConfigError::field(field, temperature, format!("it must be at least {LOWEST}, and finite")))
}

/// Sets the only number of a loss that varies.
pub(crate) fn set_temperature(temperature: &mut f64, field: &str, value: f64) -> Result<(), ConfigError> {
    if field != "temperature" {
        return Err(ConfigError::stays_fixed(field, &["temperature"]));
    }
    check_temperature("temperature", value)?;
    *temperature = value;
    Ok(())
}
