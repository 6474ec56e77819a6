//! A plugin's part of the pipeline file, as text that only the plugin can read.

use std::ops::Range;

use ron::extensions::Extensions;
use serde::de::DeserializeOwned;

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
pub(crate) fn parse_ron<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, ConfigError> {
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

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Parse { hint, .. } | Self::Unfit { hint, .. } => hint.as_deref(),
            Self::Field { .. } => None,
        }
    }

    fn from_ron(text: &str, error: &ron::error::SpannedError) -> Self {
        let start = byte_offset(text, error.span.start.line, error.span.start.col);
        let end = byte_offset(text, error.span.end.line, error.span.end.col).max(start);
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

/// ron's error in the reader's words, and a nearest name where there is one.
fn explain(error: &ron::Error) -> (String, Option<String>) {
    match error {
        ron::Error::NoSuchStructField { expected, found, outer } => {
            let of = outer.as_ref().map(|name| format!(" in `{name}`")).unwrap_or_default();
            (format!("unknown field `{found}`{of}"), Some(crate::nearest::suggest(found, expected)))
        }
        ron::Error::NoSuchEnumVariant { expected, found, outer } => {
            let of = outer.as_ref().map(|name| format!(" of `{name}`")).unwrap_or_default();
            (format!("unknown value `{found}`{of}"), Some(crate::nearest::suggest(found, expected)))
        }
        ron::Error::MissingStructField { field, outer } => {
            let of = outer.as_ref().map(|name| format!(" in `{name}`")).unwrap_or_default();
            (format!("missing field `{field}`{of}"), Some(format!("add `{field}: ...`")))
        }
        ron::Error::DuplicateStructField { field, .. } => {
            (format!("field `{field}` is given twice"), Some("keep one of them".into()))
        }
        ron::Error::InvalidValueForType { expected, found } => (format!("expected {expected}, found {found}"), None),
        ron::Error::IntegerOutOfBounds => {
            ("this number does not fit the field".into(), Some("a count is a whole number of 0 or more".into()))
        }
        ron::Error::Eof => ("the file ends too early".into(), Some("close every bracket and quotation mark".into())),
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
