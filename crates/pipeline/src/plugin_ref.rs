//! A plugin in a pipeline: its name and its config.

use std::borrow::Cow;

use ron::value::RawValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

use crate::write::{WriteError, to_ron};

/// A plugin's name and config: `("resnet", (depth: 18))`. What the config says is left to the plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WrittenPluginRef")]
pub struct PluginRef {
    name: String,
    /// The fields of a config in RON, or what could not be written.
    config: Result<String, String>,
}

/// In a file. ron's errors have its name, by which a missing config is told.
#[derive(Deserialize)]
#[serde(rename = "PluginRef")]
struct WrittenPluginRef(String, Box<RawValue>);

impl From<WrittenPluginRef> for PluginRef {
    fn from(WrittenPluginRef(name, config): WrittenPluginRef) -> Self {
        Self { name, config: Ok(config.get_ron().trim().to_owned()) }
    }
}

impl PluginRef {
    /// The plugin called `name`, with the defaults of its config.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), config: Ok("()".into()) }
    }

    /// The plugin called `name` with a whole `config`, which is a struct.
    pub fn with_config(name: impl Into<String>, config: &impl Serialize) -> Self {
        Self { name: name.into(), config: to_ron(config) }
    }

    /// Adds a field to the config.
    ///
    /// What cannot be written in RON is told when the whole pipeline is.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Serialize) -> Self {
        self.config = self.config.and_then(|config| {
            let value = to_ron(&value)?;
            let inside = config.strip_suffix(')').unwrap_or(&config);
            let comma = if inside.trim_end().ends_with(['(', ',']) { "" } else { ", " };
            Ok(format!("{inside}{comma}{field}: {value})"))
        });
        self
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Which plugins may stand in a place is added by [`schema`](crate::schema()).
impl JsonSchema for PluginRef {
    fn schema_name() -> Cow<'static, str> {
        "plugin".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A plugin's name and config.",
            "type": "array",
            "prefixItems": [{ "type": "string" }, { "type": "object" }],
            "minItems": 2,
            "maxItems": 2,
        })
    }
}

impl Serialize for PluginRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failed = |reason: String| {
            serde::ser::Error::custom(WriteError::Plugin { name: self.name.clone(), reason })
        };
        let config = self.config.clone().map_err(failed)?;
        let config = RawValue::from_boxed_ron(config.into()).map_err(|error| failed(error.to_string()))?;
        (&self.name, config).serialize(serializer)
    }
}
