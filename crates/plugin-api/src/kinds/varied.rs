//! Numbers that change while training.

use crate::{ConfigError, suggest};

/// What `set_number` of an optimizer or a loss says of a number that it does not change while it trains, if it does change
/// those called `names`.
///
/// ```
/// let error = plugin_api::does_not_vary("temperatur", &["temperature"]);
/// assert_eq!(error.to_string(), "`temperatur` is no number that can vary");
/// assert_eq!(error.hint(), Some("did you mean `temperature`?"));
/// ```
pub fn does_not_vary(field: &str, names: &[&str]) -> ConfigError {
    let hint = match names {
        [] => "this plugin has none that can".to_owned(),
        names => suggest(field, names),
    };
    ConfigError::unfit(format!("`{field}` is no number that can vary"), hint)
}
