//! What a run has kept of its pipeline, read without building it.

use pipeline_text::{Checked, PipelineText};
use plugin_api::ConfigError;

use crate::config::PipelineConfig;
use crate::{base, minimize, misplaced, number_word, plugin_word};

impl PipelineConfig {
    /// The pipeline in `text`, which a run has kept and messages call `origin`. No plugin is built or looked for, so that this
    /// takes no time or memory, and tells of what other programs have trained.
    ///
    /// Fields that pipelines had when the run was started, and that mean nothing now, are left out.
    ///
    /// # Errors
    /// If it is not the text of a whole pipeline.
    pub fn parse_kept(origin: &str, text: &str) -> Checked<Self> {
        let mut text = base::without_file(origin, text)?;
        minimize::remove(&mut text);
        config_of(&text)
    }
}

/// What `text` says, unchecked.
pub(crate) fn config_of(text: &PipelineText) -> Checked<PipelineConfig> {
    plugin_api::parse_ron(&text.text).map_err(|error| match &error {
        ConfigError::Parse { span, message, hint } => {
            let better = misplaced::hint(text, span, message)
                .or_else(|| plugin_word::hint(text, span, message))
                .or_else(|| hint.clone())
                .or_else(|| number_word::hint(text, span, message));
            text.fault(span.clone(), message.clone(), better)
        }
        other => text.fault(0..0, other.to_string(), None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: &str = r#"Pipeline(
        name: "mine", data: (source: ("nowhere", (x: 1)), batch: 8),
        views: {"a": [("unknown", ())]}, modules: {"loss": ("strange", ())},
        graph: [(id: "l", run: ["loss"], on: ["a", "b"])], minimize: ["l"],
        optimizer: ("o", ()), learning_rate: (base: 0.1, scale: Absolute), schedule: ("s", ()), epochs: 7,
        early_stopping: (metric: "m", patience: 3),
    )"#;

    #[test]
    fn a_pipeline_that_was_kept_is_read_without_its_plugins() {
        let config = PipelineConfig::parse_kept("it", KEPT).unwrap();
        assert_eq!((config.name.as_str(), config.epochs, config.data.batch), ("mine", 7, 8));
        assert_eq!(config.early_stopping.unwrap().patience, 3);
        let fault =
            PipelineConfig::parse_kept("it", &KEPT.replace("epochs: 7", "epochs: seven")).unwrap_err();
        assert!(fault.message.contains("expected a whole number"), "{}", fault.message);
    }
}
