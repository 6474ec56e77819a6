//! A plugin with its config, and what must hold for every config.

use plugin_api::{Config, ConfigError, Described, Kind, Plugin, inventory};

use crate::calm::calm;
use crate::fault::{Checked, ensure, wrong};

/// What no config has.
const UNKNOWN: &str = "no_such_field";

/// A registered plugin and the text of a config.
pub(crate) struct Plugged<T: Kind + ?Sized> {
    plugin: &'static Plugin<T>,
    config: String,
}

impl<T: Kind + ?Sized> Plugged<T>
where
    Plugin<T>: inventory::Collect,
{
    /// The plugin `name`; its example without a `config`.
    pub(crate) fn find(name: &str, config: Option<&str>) -> Checked<Self> {
        let plugin = plugin_api::find::<T>(name).ok_or_else(|| {
            wrong!(
                "no {} plugin is named `{name}`: outside of its crate, `use CRATE as _;` links it in",
                T::NAME
            )
        })?;
        Ok(Self { plugin, config: config.unwrap_or(plugin.example).trim().to_owned() })
    }

    /// The same plugin and config.
    pub(crate) fn again(&self) -> Self {
        Self { plugin: self.plugin, config: self.config.clone() }
    }

    /// Builds it.
    pub(crate) fn build(&self, context: &T::Context) -> Checked<Box<T>> {
        let built = calm("when it is built", || self.build_from(&self.config, context))?;
        built.map_err(|error| wrong!("the config `{}` is refused: {}", self.config, told(&error)))
    }

    /// Builds it, where it may be refused.
    pub(crate) fn try_build(&self, context: &T::Context) -> Checked<Result<Box<T>, ConfigError>> {
        calm("when it is built", || self.build_from(&self.config, context))
    }

    fn build_from(&self, config: &str, context: &T::Context) -> Result<Box<T>, ConfigError> {
        (self.plugin.build)(Config::new(config), context)
    }

    /// Checks what it says of itself, and that configs which make no sense are refused.
    pub(crate) fn check_config(&self, context: &T::Context) -> Checked {
        let Plugin { name, summary, .. } = *self.plugin;
        let is_kebab_case = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            name.chars().all(is_kebab_case),
            "its name is not in kebab-case: small letters, digits and hyphens"
        );
        ensure!(!summary.trim().is_empty(), "it has no summary, which `moco plugins` shows");
        ensure!(!summary.contains('\n'), "its summary has more than one line");
        let fields = self.described().map(|plugin| plugin.fields).unwrap_or_default();
        if let Some(field) = fields.iter().find(|field| field.help.is_empty()) {
            return Err(wrong!(
                "the field `{}` of its config has no documentation comment, which `moco plugins` shows",
                field.name
            ));
        }
        self.build(context)?;
        self.check_unknown_field(context)?;
        for field in &fields {
            let values: &[&str] = match field.type_name.as_str() {
                "integer" => &["0", "-1"],
                "number" => &["0.0", "-1.0", "inf", "NaN"],
                _ => continue,
            };
            for value in values {
                let Some(config) = with_field(&self.config, &field.name, value) else { continue };
                calm(&format!("when it is built from `{config}`"), || {
                    self.build_from(&config, context).map(drop)
                })?
                .or_else(|error| check_told(&config, &error))?;
            }
        }
        Ok(())
    }

    fn described(&self) -> Option<Described> {
        let is_it = |plugin: &Described| plugin.kind == T::NAME && plugin.name == self.plugin.name;
        plugin_api::all_plugins().into_iter().find(is_it)
    }

    fn check_unknown_field(&self, context: &T::Context) -> Checked {
        let Some(config) = with_field(&self.config, UNKNOWN, "0") else {
            return Err(wrong!("the config `{}` is not `(field: value, ..)`", self.config));
        };
        match calm("when it is built from a config with an unknown field", || {
            self.build_from(&config, context).map(drop)
        })? {
            Ok(()) => Err(wrong!(
                "it takes a config with an unknown field, `{config}`: its config needs `#[serde(deny_unknown_fields)]`"
            )),
            Err(ConfigError::Parse { message, span, .. }) => {
                let place = config.find(UNKNOWN).unwrap_or_default();
                ensure!(
                    message.contains(UNKNOWN) && span.start <= place + UNKNOWN.len() && span.end >= place,
                    "it refuses an unknown field at another place than the field's: {message}"
                );
                Ok(())
            }
            Err(error) => Err(wrong!(
                "it refuses an unknown field without saying where it is (`{error}`): `register!` does, and `Config::parse`"
            )),
        }
    }
}

/// An error of a value that was changed says something, and names a field of the config where it names one.
fn check_told(config: &str, error: &ConfigError) -> Checked {
    ensure!(!error.to_string().trim().is_empty(), "it refuses `{config}` without saying why");
    Ok(())
}

/// An error and its hint.
fn told(error: &ConfigError) -> String {
    match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

/// The text of `config` with another value of one field, which may be new; `None` if it is not in brackets.
fn with_field(config: &str, field: &str, value: &str) -> Option<String> {
    let inner = config.trim().strip_prefix('(')?.strip_suffix(')')?;
    let others: Vec<&str> = fields(inner).into_iter().filter(|text| name_of(text) != Some(field)).collect();
    let others = others.join(", ");
    let comma = if others.is_empty() { "" } else { ", " };
    Some(format!("({field}: {value}{comma}{others})"))
}

/// `depth` of `depth: 18`.
fn name_of(field: &str) -> Option<&str> {
    field.split_once(':').map(|(name, _)| name.trim())
}

/// The parts between commas that are in no brackets and no quotation marks.
fn fields(inner: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut is_quoted) = (Vec::new(), 0, 0_usize, false);
    for (place, letter) in inner.char_indices() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '(' | '[' | '{' if !is_quoted => depth += 1,
            ')' | ']' | '}' if !is_quoted => depth = depth.saturating_sub(1),
            ',' if !is_quoted && depth == 0 => {
                parts.push(inner[start..place].trim());
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(inner[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_of_a_text_is_changed() {
        let config = r#"(a: (1, 2), b: "x, y", c: [3])"#;
        assert_eq!(with_field(config, "b", "0").unwrap(), "(b: 0, a: (1, 2), c: [3])");
        assert_eq!(with_field("()", "a", "1").unwrap(), "(a: 1)");
        assert_eq!(with_field("(a: 2,)", "b", "1").unwrap(), "(b: 1, a: 2)");
        assert_eq!(with_field("nothing", "b", "1"), None);
    }
}
