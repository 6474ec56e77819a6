//! Checks the width of a layer.

use plugin_api::ConfigError;

/// The widest layer that is accepted: far beyond any published one, and far from overflow.
const MAX_WIDTH: usize = 1 << 16;

/// Refuses a number of features that no layer can have; `field` is where the reader wrote it.
pub(crate) fn check_width(field: &'static str, width: usize) -> Result<(), ConfigError> {
    if (1..=MAX_WIDTH).contains(&width) {
        Ok(())
    } else {
        Err(ConfigError::field(field, width, format!("it must be between 1 and {MAX_WIDTH}")))
    }
}
