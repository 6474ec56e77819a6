//! A dataset in the config of another plugin.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ron::value::RawValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Dataset, DatasetContext};
use crate::{Config, ConfigError, MAX_CHANNELS, build};

/// A dataset plugin as a pipeline file has it, `("class-folders", (root: "labeled"))`: a field of another plugin's config.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(from = "DatasetPluginRef")]
pub struct DatasetConfig {
    name: String,
    config: String,
}

/// In a file. Errors of ron have its name, by which a missing config is told.
#[derive(serde::Deserialize)]
struct DatasetPluginRef(String, Box<RawValue>);

impl From<DatasetPluginRef> for DatasetConfig {
    fn from(DatasetPluginRef(name, config): DatasetPluginRef) -> Self {
        Self { name, config: config.get_ron().trim().to_owned() }
    }
}

impl JsonSchema for DatasetConfig {
    fn schema_name() -> Cow<'static, str> {
        "dataset".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "dataset" })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl DatasetConfig {
    /// The plugin called `name` with the text of its config: `(root: "labeled")`.
    pub fn new(name: impl Into<String>, config: impl Into<String>) -> Self {
        Self { name: name.into(), config: config.into() }
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of its config: `(root: "labeled")`.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// Builds the dataset. Nothing is read.
    ///
    /// # Errors
    /// If there is no such plugin, or it refuses its config.
    pub fn build(&self, context: &DatasetContext) -> Result<Arc<dyn Dataset>, ConfigError> {
        let dataset = build::<dyn Dataset>(&self.name, Config::new(&self.config), context)?;
        match dataset.channels() {
            1..=MAX_CHANNELS => Ok(Arc::from(dataset)),
            n => Err(ConfigError::unfit(
                format!("the images have {n} channels, but they must have from 1 to {MAX_CHANNELS}"),
                "choose among the channels, if the dataset has a field for that",
            )),
        }
    }

    /// Builds the dataset of the field `field`, for a monitor that measures on it. What is wrong with it is told at its own
    /// place.
    ///
    /// # Errors
    /// [`ConfigError::Nested`].
    pub fn build_for(self, field: &'static str, context: &DatasetContext) -> Result<OwnDataset, ConfigError> {
        match self.build(context) {
            Ok(dataset) => Ok(OwnDataset { field, written: self, dataset }),
            Err(source) => Err(ConfigError::Nested { field, source: Box::new(source) }),
        }
    }
}

/// A dataset that a monitor measures on in place of the run's; from [`DatasetConfig::build_for`].
#[derive(Clone)]
pub struct OwnDataset {
    field: &'static str,
    written: DatasetConfig,
    dataset: Arc<dyn Dataset>,
}

impl OwnDataset {
    /// The field of the monitor's config that has it.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// How the pipeline has it. Two monitors for which this is equal share features.
    pub fn written(&self) -> &DatasetConfig {
        &self.written
    }

    /// The dataset.
    pub fn dataset(&self) -> &dyn Dataset {
        &*self.dataset
    }
}

impl fmt::Debug for OwnDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}
