//! A plugin's part of the pipeline file, as text that only the plugin can read.

use std::ops::Range;

use ron::extensions::Extensions;
use serde::de::DeserializeOwned;

use crate::suggest;

/// The RON text of one plugin's config.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    text: &'a str,
}

impl<'a> Config<'a> {
    /// A config from its text, for instance `(depth: 18)`.
    pub fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The text as it stands in the file.
    pub fn text(self) -> &'a str {
        self.text
    }

    /// The config as `T`, which must say `deny_unknown_fields`.
    ///
    /// # Errors
    /// [`ConfigError::Parse`], with the place in this text.
    pub fn parse<T: DeserializeOwned>(self) -> Result<T, ConfigError> {
        parse_ron(self.text)
    }
}

/// Parses RON with the project's options (an option may be written without `Some`).
///
/// # Errors
/// [`ConfigError::Parse`], with the place in `text`.
pub fn parse_ron<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, ConfigError> {
    let options = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
    options.from_str(text).map_err(|error| ConfigError::from_ron(text, &error))
}

/// What is wrong with a plugin's config.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is not the RON that the plugin takes.
    #[error("{message}")]
    Parse {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
        /// Where, in bytes of the config's text.
        span: Range<usize>,
    },
    /// A field has a value that the plugin cannot work with.
    #[error("`{field}` is {value}, but {must}")]
    Field {
        /// The field's name; dots lead into nested structs.
        field: &'static str,
        /// The value as the reader wrote it.
        value: String,
        /// What the value must be, as a sentence without a stop: "it must be a positive multiple of 8".
        must: String,
    },
    /// A field is a plugin of its own, which cannot be built.
    #[error("{source}")]
    Nested {
        /// The field's name; dots lead into nested structs.
        field: &'static str,
        /// What is wrong with that plugin.
        source: Box<ConfigError>,
    },
    /// The config is well formed, but does not fit what surrounds it.
    #[error("{message}")]
    Unfit {
        /// What does not fit what.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

impl ConfigError {
    /// [`ConfigError::Field`] with less to type.
    pub fn field(field: &'static str, value: impl std::fmt::Display, must: impl Into<String>) -> Self {
        Self::Field { field, value: value.to_string(), must: must.into() }
    }

    /// [`ConfigError::Unfit`] with less to type.
    pub fn unfit(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unfit { message: message.into(), hint: Some(hint.into()) }
    }

    /// What a plugin's `set_number` says of a number that cannot change while training, if those can that are called
    /// `names`.
    ///
    /// ```
    /// use plugin_api::ConfigError;
    ///
    /// let error = ConfigError::stays_fixed("temperatur", &["temperature"]);
    /// assert_eq!(error.to_string(), "`temperatur` is no number that can change while training");
    /// assert_eq!(error.hint(), Some("did you mean `temperature`?"));
    /// ```
    pub fn stays_fixed(field: &str, names: &[&str]) -> Self {
        let hint = match names {
            [] => "this plugin has none that can".to_owned(),
            names => suggest(field, names),
        };
        Self::unfit(format!("`{field}` is no number that can change while training"), hint)
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Parse { hint, .. } | Self::Unfit { hint, .. } => hint.as_deref(),
            Self::Field { .. } => None,
            Self::Nested { source, .. } => source.hint(),
        }
    }

    fn from_ron(text: &str, error: &ron::error::SpannedError) -> Self {
        let start = byte_offset(text, error.span.start.line, error.span.start.col);
        let end = byte_offset(text, error.span.end.line, error.span.end.col).max(start);
        let token = token(text, start);
        if let Some((message, hint)) = explain_type(&error.code, text, token.clone()) {
            return Self::Parse { message, hint, span: token };
        }
        let (message, hint) = explain(&error.code);
        Self::Parse { message, hint, span: start..end }
    }
}

/// ron counts lines and columns (in characters) from 1.
fn byte_offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &text[start.min(text.len())..];
    start + rest.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum::<usize>()
}

/// The word, the text in quotation marks or the sign at byte `at`, or after the white space there.
fn token(text: &str, at: usize) -> Range<usize> {
    let is_word = |letter: char| letter.is_alphanumeric() || "_-+.".contains(letter);
    let at = at.min(text.len());
    let at = at + text[at..].len() - text[at..].trim_start().len();
    let rest = &text[at..];
    match rest.chars().next() {
        None => at..at,
        Some('"') => at..at + rest[1..].find('"').map_or(rest.len(), |length| length + 2),
        Some(letter) if is_word(letter) => {
            // ron complains of a number in its middle: after the sign, or at the point.
            let start = at - text[..at].len() + text[..at].trim_end_matches(is_word).len();
            start..at + rest.find(|letter| !is_word(letter)).unwrap_or(rest.len())
        }
        Some(letter) => at..at + letter.len_utf8(),
    }
}

/// What to say of a value of a wrong type, which is at `token`; `None` for other errors.
fn explain_type(error: &ron::Error, text: &str, token: Range<usize>) -> Option<(String, Option<String>)> {
    let found = &text[token.clone()];
    let is_number = found.trim_matches('"').parse::<f64>().is_ok();
    let unquoted = found.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let names_a_field = text[token.end..].trim_start().starts_with(':');
    let begins_like_a_number =
        found.starts_with(|letter: char| letter.is_ascii_digit() || "+-.".contains(letter));
    let expected = match error {
        ron::Error::ExpectedDifferentStructName { expected, .. } if *expected == PLUGIN => "a plugin",
        ron::Error::ExpectedNamedStructLike(PLUGIN) => "a plugin",
        ron::Error::InvalidIntegerDigit { .. } => "a whole number",
        ron::Error::ExpectedArray => "a list, `[..]`",
        ron::Error::ExpectedBoolean => "`true` or `false`",
        ron::Error::ExpectedFloat => "a number",
        ron::Error::ExpectedInteger => "a whole number",
        // Of `2.5`, the 2 would do.
        ron::Error::ExpectedComma if is_number => "a whole number",
        // Of `32x`, the 32 would.
        ron::Error::ExpectedComma if begins_like_a_number => "a number",
        ron::Error::IntegerOutOfBounds => "a whole number of 0 or more that fits in 64 bits",
        ron::Error::ExpectedMap => "`{`",
        ron::Error::ExpectedString => "text in quotation marks",
        ron::Error::ExpectedIdentifier => "a name without quotation marks",
        ron::Error::ExpectedStructLike | ron::Error::ExpectedNamedStructLike(_) => "`(`",
        ron::Error::ExpectedStructLikeEnd => "`)`",
        ron::Error::ExpectedArrayEnd => "`]`",
        _ => return None,
    };
    let hint = match (error, unquoted) {
        _ if expected == "a plugin" => Some(match unquoted.unwrap_or(found) {
            name if name.starts_with(char::is_alphabetic) && !["true", "false"].contains(&name) => {
                format!("write `(\"{name}\", ())`, with the fields of its config between the inner brackets")
            }
            _ => PLUGIN_HINT.to_owned(),
        }),
        _ if expected == "a whole number" => {
            whole(found.trim_matches('"')).map(|number| format!("write `{number}`"))
        }
        (ron::Error::ExpectedBoolean, _) => match found.trim_matches('"').to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some("write `true`".to_owned()),
            "false" | "no" | "off" | "0" => Some("write `false`".to_owned()),
            _ => None,
        },
        (ron::Error::ExpectedArray, None) if found == "(" => {
            Some("a list stands in `[..]`, even of a single value".to_owned())
        }
        (ron::Error::ExpectedString, None) if names_a_field => Some(PLUGIN_HINT.to_owned()),
        (ron::Error::ExpectedString, None)
            if !found.is_empty() && !found.starts_with(['(', '[', '{', '\'']) =>
        {
            Some(format!("write `\"{found}\"`"))
        }
        (ron::Error::ExpectedIdentifier, Some(name)) => Some(format!("write `{name}`")),
        (ron::Error::ExpectedFloat, Some(number)) if is_number => Some(format!("write `{number}`")),
        (ron::Error::ExpectedStructLike, _) if found == "[" => {
            Some("write `(..)` instead of `[..]`".to_owned())
        }
        (ron::Error::ExpectedStructLikeEnd, _) => Some("is there a value too many?".to_owned()),
        (ron::Error::ExpectedArray, Some(_)) => Some(format!("write `[{found}]`")),
        _ => None,
    };
    Some((format!("expected {expected}, found `{found}`"), hint))
}

/// A number that is whole, however it is written: `4096` of `4096.0`, `1000` of `1e3`.
fn whole(text: &str) -> Option<u64> {
    /// Beyond this, floats leave out whole numbers.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    let number: f64 = text.parse().ok()?;
    (number == number.trunc() && (0.0..=LARGEST).contains(&number)).then_some(number as u64)
}

/// How ron calls a plugin in its errors.
const PLUGIN: &str = "PluginRef";

const PLUGIN_HINT: &str = "a plugin is written `(\"name\", (field: value))`";

/// Where in the file; nothing for a plugin's config, whose plugin is named and whose type says nothing to the reader.
fn place(outer: Option<&String>) -> String {
    match outer {
        Some(name) if !name.ends_with("Config") => format!(" in `{name}`"),
        _ => String::new(),
    }
}

/// ron's error in the reader's words, and a nearest name where there is one.
fn explain(error: &ron::Error) -> (String, Option<String>) {
    match error {
        ron::Error::NoSuchStructField { expected, found, outer } => {
            let place = place(outer.as_ref());
            (format!("unknown field `{found}`{place}"), Some(crate::nearest::suggest(found, expected)))
        }
        ron::Error::NoSuchEnumVariant { expected, found, .. } => {
            (format!("unknown value `{found}`"), Some(crate::nearest::suggest(found, expected)))
        }
        ron::Error::MissingStructField { field, outer } => {
            let place = place(outer.as_ref());
            (format!("missing field `{field}`{place}"), Some(format!("add `{field}: ...`")))
        }
        ron::Error::DuplicateStructField { field, .. } => {
            (format!("field `{field}` is given twice"), Some("keep one of them".into()))
        }
        ron::Error::InvalidValueForType { expected, found } => {
            (format!("expected {expected}, found {found}"), None)
        }
        ron::Error::ExpectedDifferentStructName { expected, found } => {
            let hint = match *expected {
                "Pipeline" => "a pipeline file starts with `Pipeline(`".into(),
                _ => format!("leave out `{found}`"),
            };
            (format!("expected `{expected}`, found `{found}`"), Some(hint))
        }
        ron::Error::ExpectedDifferentLength { expected, .. } if expected.contains("PluginRef") => (
            "this plugin has no config".into(),
            Some(format!("{PLUGIN_HINT}; `()` where every field has a default")),
        ),
        ron::Error::Eof => {
            ("the file ends too early".into(), Some("close every bracket and quotation mark".into()))
        }
        other => {
            let text = other.to_string();
            let mut letters = text.chars();
            let message = match letters.next() {
                Some(first) => first.to_lowercase().chain(letters).collect(),
                None => text,
            };
            (message, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is said of them counts")]
    struct Example {
        n: usize,
        is: bool,
        x: f64,
        list: Vec<usize>,
        plugin: PluginRef,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename = "PluginRef")]
    struct PluginRef(#[expect(dead_code, reason = "as above")] String, ());

    /// Message and hint for an example with one field changed.
    fn said(field: &str, value: &str) -> (String, String) {
        let values = [("n", "1"), ("is", "true"), ("x", "0.5"), ("list", "[1]"), ("plugin", "(\"a\", ())")];
        let fields: Vec<String> = values
            .iter()
            .map(|(name, usual)| format!("{name}: {}", if *name == field { value } else { usual }))
            .collect();
        let error = parse_ron::<Example>(&format!("({})", fields.join(", "))).unwrap_err();
        (error.to_string(), error.hint().unwrap_or_default().to_owned())
    }

    #[test]
    fn values_that_other_programs_take_are_told_as_this_one_takes_them() {
        for (field, value, message, hint) in [
            ("n", "4096.0", "expected a whole number, found `4096.0`", "write `4096`"),
            ("n", "1e3", "expected a whole number, found `1e3`", "write `1000`"),
            ("n", "\"64\"", "expected a whole number, found `\"64\"`", "write `64`"),
            ("n", "2.5", "expected a whole number, found `2.5`", ""),
            ("n", "32x", "expected a number, found `32x`", ""),
            ("is", "True", "expected `true` or `false`, found `True`", "write `true`"),
            ("is", "False", "expected `true` or `false`, found `False`", "write `false`"),
            ("is", "\"yes\"", "expected `true` or `false`, found `\"yes\"`", "write `true`"),
            ("is", "maybe", "expected `true` or `false`, found `maybe`", ""),
            ("x", "\"0.5\"", "expected a number, found `\"0.5\"`", "write `0.5`"),
            (
                "list",
                "(1)",
                "expected a list, `[..]`, found `(`",
                "a list stands in `[..]`, even of a single value",
            ),
            (
                "plugin",
                "linear",
                "expected a plugin, found `linear`",
                "write `(\"linear\", ())`, with the fields of its config between the inner brackets",
            ),
            (
                "plugin",
                "\"linear\"",
                "expected a plugin, found `\"linear\"`",
                "write `(\"linear\", ())`, with the fields of its config between the inner brackets",
            ),
            ("plugin", "true", "expected a plugin, found `true`", PLUGIN_HINT),
            ("plugin", "3", "expected a plugin, found `3`", PLUGIN_HINT),
        ] {
            let (said, advised) = said(field, value);
            assert_eq!((said.as_str(), advised.as_str()), (message, hint), "{field}: {value}");
        }
    }
}
