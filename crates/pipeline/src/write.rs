//! Pipelines that programs build, as the text of a file.

use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::Serialize;

use crate::config::{CheckpointConfig, DataConfig, LearningRateConfig, PipelineConfig, Precision};
use crate::plugin_ref::PluginRef;
use crate::stability::StabilityConfig;

/// A pipeline that cannot be written as a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A value of a plugin's config is none that RON has.
    #[error("the config of the plugin `{name}` cannot be written: {reason}")]
    Plugin {
        /// The plugin.
        name: String,
        /// What its value says.
        reason: String,
    },
    /// Something else is none.
    #[error("the pipeline cannot be written: {0}")]
    Pipeline(String),
}

impl PipelineConfig {
    /// A pipeline without views, modules and steps, which it needs; all else is as where a file says nothing.
    pub fn new(
        name: impl Into<String>,
        data: DataConfig,
        optimizer: PluginRef,
        learning_rate: LearningRateConfig,
        schedule: PluginRef,
        epochs: usize,
    ) -> Self {
        Self {
            name: name.into(),
            seed: 0,
            data,
            views: Default::default(),
            modules: Default::default(),
            graph: Vec::new(),
            momentum: None,
            optimizer,
            learning_rate,
            schedule,
            ramps: Vec::new(),
            epochs,
            precision: Precision::default(),
            freeze: Vec::new(),
            groups: Vec::new(),
            stability: StabilityConfig::default(),
            monitor: Vec::new(),
            early_stopping: None,
            checkpoint: CheckpointConfig::default(),
        }
    }

    /// The text of the file that says the same.
    ///
    /// # Errors
    /// If a value of a plugin's config cannot be written in RON.
    pub fn to_ron(&self) -> Result<String, WriteError> {
        let pretty = PrettyConfig::new().depth_limit(3).new_line("\n");
        let text = options()
            .to_string_pretty(self, pretty)
            .map_err(|error| WriteError::Pipeline(error.to_string()))?;
        Ok(format!("Pipeline{text}\n"))
    }
}

/// A value as a file writes it, on one line.
pub(crate) fn to_ron(value: &(impl Serialize + ?Sized)) -> Result<String, String> {
    // Pretty, for the blanks between values.
    options().to_string_pretty(value, PrettyConfig::new().depth_limit(0)).map_err(|error| error.to_string())
}

/// Those of files: an option is written without `Some`.
fn options() -> ron::Options {
    ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME)
}
