//! What a plugin must do whose numbers change while it trains.

use plugin_api::ConfigError;

use crate::calm::calm;
use crate::fault::{Checked, ensure};

/// What no config has.
const NO_NUMBER: &str = "no_number_of_this_name";

/// Whether `set_number` refuses a number that is not there.
pub(crate) fn check(set_number: impl FnOnce(&str, f64) -> Result<(), ConfigError>) -> Checked {
    let set = calm("in `set_number`", || set_number(NO_NUMBER, 0.5))?;
    ensure!(
        set.is_err(),
        "`set_number` takes the number `{NO_NUMBER}`: a slip in a pipeline's `ramps` would do nothing"
    );
    Ok(())
}
