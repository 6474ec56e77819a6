//! Numbers that updates are made of.

use plugin_api::ConfigError;

/// The least number that something may be multiplied with or divided by: updates are in single precision.
pub(crate) const LEAST: f64 = 1e-12;

/// Larger ones leave nothing of the weights after a step.
const MOST: f64 = 1e6;

/// Checks that `value` is at least `least`, and no more than single precision can work with.
pub(crate) fn check_size(field: &'static str, value: f64, least: f64) -> Result<(), ConfigError> {
    if (least..=MOST).contains(&value) {
        return Ok(());
    }
    let from = if least > 0.0 { format!("{least:e}") } else { "0".into() };
    Err(ConfigError::field(field, value, format!("it must be from {from} to {MOST}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_single_precision_has_not_are_refused() {
        check_size("weight_decay", 0.0, 0.0).unwrap();
        check_size("eps", 1e-8, LEAST).unwrap();
        for wrong in [-1.0, 1e39, 1e300, f64::NAN, f64::INFINITY] {
            let told = check_size("weight_decay", wrong, 0.0).unwrap_err().to_string();
            assert!(told.ends_with("but it must be from 0 to 1000000"), "{told}");
        }
        assert!(check_size("eps", 1e-50, LEAST).is_err());
    }
}
