//! Temperatures of losses and votes.

use crate::ConfigError;

/// The lowest and the highest temperature that a config may have. Papers have 0.04 to 1; what is far outside makes single
/// precision overflow, or all similarities the same.
pub const TEMPERATURES: (f64, f64) = (1e-3, 1e3);

/// `temperature`, the field of a config of this name, if similarities of unit vectors can be divided by it.
///
/// # Errors
/// If it is outside of [`TEMPERATURES`], or no number.
pub fn check_temperature(temperature: f64) -> Result<f64, ConfigError> {
    check_temperature_of("temperature", temperature)
}

/// As [`check_temperature`], for the field of a config called `field`: one that has several.
///
/// # Errors
/// If it is outside of [`TEMPERATURES`], or no number.
pub fn check_temperature_of(field: &'static str, temperature: f64) -> Result<f64, ConfigError> {
    let (low, high) = TEMPERATURES;
    if (low..=high).contains(&temperature) {
        return Ok(temperature);
    }
    let must = format!("it must be from {low} to {high}; papers have 0.04 to 1");
    Err(ConfigError::field(field, temperature, must))
}

/// Sets the temperature of a plugin of which no other number can change while training, as its `set_number` is asked to.
///
/// # Errors
/// As [`check_temperature`], and if `field` is another one.
pub fn set_temperature(temperature: &mut f64, field: &str, value: f64) -> Result<(), ConfigError> {
    if field != "temperature" {
        return Err(ConfigError::stays_fixed(field, &["temperature"]));
    }
    *temperature = check_temperature(value)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_are_those_that_single_precision_can_divide_by() {
        for fits in [1e-3, 0.07, 1.0, 1e3] {
            assert_eq!(check_temperature(fits).unwrap(), fits);
        }
        for wrong in [0.0, -0.2, 1e-300, 9e-4, 1001.0, 3e38, f64::NAN, f64::INFINITY] {
            let told = check_temperature(wrong).unwrap_err().to_string();
            assert!(told.contains("but it must be from 0.001 to 1000"), "{told}");
        }
    }
}
