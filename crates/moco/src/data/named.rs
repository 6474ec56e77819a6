//! A dataset named in one text, as an option has it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pipeline::{Pipeline, Site};
use plugin_api::{ConfigError, Dataset, DatasetConfig, DatasetContext, parse_ron};

use super::DataError;
use super::source::{is_pipeline, plugin_of};

/// A dataset that is named apart from a run: labeled images to measure the run's encoder on.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use moco::data::DatasetSource;
///
/// let shapes = DatasetSource::parse("shapes(train: 32, test: 16)")?;
/// assert_eq!(shapes.build(0)?.open()?.train.len(), 32);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DatasetSource(Named);

#[derive(Clone)]
enum Named {
    Plugin(DatasetConfig),
    Built(Arc<dyn Dataset>),
}

impl DatasetSource {
    /// The dataset that `text` names. Nothing is listed yet.
    ///
    /// That is a plugin with its config, as in a pipeline, `("class-folders", (root: "labeled"))`, or shorter,
    /// `class-folders(root: "labeled")`; or a path: a folder with class folders in its folder `train`, a pack, or a pipeline
    /// (`.ron`), which means its dataset.
    ///
    /// # Errors
    /// If it names none, or the plugin refuses its config.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        let text = text.trim();
        let path = Path::new(text);
        if path.exists() {
            return Self::at(path);
        }
        let named = |error: &ConfigError, prefix: &str| DataError::Named {
            text: text.to_owned(),
            message: format!("{prefix}{error}"),
            hint: error.hint().map(str::to_owned),
        };
        let plugin = match plugin_call(text) {
            Some((name, config)) => DatasetConfig::new(name, config),
            None if text.starts_with('(') => parse_ron(text).map_err(|error| named(&error, ""))?,
            None => return Err(DataError::Missing { path: path.into() }),
        };
        // Built again with the seed of the run, but what is wrong is told now.
        plugin.build(&DatasetContext::default()).map_err(|error| {
            let is_of_config = matches!(error, ConfigError::Parse { .. } | ConfigError::Field { .. });
            let prefix = if is_of_config { format!("{}: ", plugin.name()) } else { String::new() };
            named(&error, &prefix)
        })?;
        Ok(Self(Named::Plugin(plugin)))
    }

    /// The dataset at `path`, see [`parse`](Self::parse).
    ///
    /// # Errors
    /// If there is none, or the pipeline is wrong.
    pub fn at(path: &Path) -> Result<Self, DataError> {
        if is_pipeline(path) {
            let pipeline = Pipeline::read(path, &[], Site::to_look(&crate::device()?))?;
            return Ok(Self(Named::Built(Arc::from(pipeline.dataset))));
        }
        match plugin_of(path) {
            Some(found) => Ok(Self(Named::Plugin(found.config))),
            None => Err(DataError::NoSplits { path: path.into() }),
        }
    }

    /// The dataset, for a run with the seed `seed`. Nothing is listed yet.
    ///
    /// # Errors
    /// If its plugin refuses its config.
    pub fn build(&self, seed: u64) -> Result<Arc<dyn Dataset>, DataError> {
        match &self.0 {
            Named::Plugin(plugin) => Ok(plugin.build(&DatasetContext { seed })?),
            Named::Built(dataset) => Ok(Arc::clone(dataset)),
        }
    }
}

impl From<Arc<dyn Dataset>> for DatasetSource {
    fn from(dataset: Arc<dyn Dataset>) -> Self {
        Self(Named::Built(dataset))
    }
}

impl fmt::Debug for DatasetSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Named::Plugin(plugin) => plugin.fmt(f),
            Named::Built(dataset) => f.write_str(&dataset.describe()),
        }
    }
}

/// The name and the config of `name(field: value)`.
fn plugin_call(text: &str) -> Option<(&str, &str)> {
    let (name, config) = text.split_at(text.find('(')?);
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    let name = name.trim_end();
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, Option<String>) {
        let error = DatasetSource::parse(text).unwrap_err();
        (error.to_string(), error.hint())
    }

    #[test]
    fn a_plugin_is_written_as_in_a_pipeline_or_as_a_call() {
        for text in [
            r#"("shapes", (train: 8, test: 4))"#,
            "shapes(train: 8, test: 4)",
            " shapes (train: 8, test: 4) ",
        ] {
            let splits = DatasetSource::parse(text).unwrap().build(3).unwrap().open().unwrap();
            assert_eq!((splits.train.len(), splits.test.unwrap().len()), (8, 4), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_the_nearest_name() {
        let (message, hint) = refused("class-folder(root: \"a\")");
        assert!(message.ends_with("no dataset plugin is named `class-folder`"), "{message}");
        assert_eq!(hint.unwrap(), "did you mean `class-folders`?");
        let (message, hint) = refused("class-folders(rot: \"a\")");
        assert!(
            message.ends_with("does not name a dataset: class-folders: unknown field `rot`"),
            "{message}"
        );
        assert_eq!(hint.unwrap(), "did you mean `root`?");
        let (message, hint) = refused("(\"class-folders\")");
        assert!(message.ends_with("this plugin has no config"), "{message}");
        assert!(hint.unwrap().contains("(\"name\", (field: value))"));
        assert!(refused("nowhere/labeled").0.ends_with("does not exist"));
    }

    #[test]
    fn a_path_is_a_folder_with_training_images_or_a_pipeline() {
        let root = tempfile::tempdir().unwrap();
        let text = |name: &str| root.path().join(name).display().to_string();
        for folder in ["a/train/ant", "a/val/ant", "b"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let source = DatasetSource::parse(&text("a")).unwrap();
        assert_eq!(source.build(0).unwrap().describe(), format!("class folders of {}", text("a")));
        let error = DatasetSource::parse(&text("b")).unwrap_err();
        assert!(error.to_string().contains("no folder `train`"), "{error}");
        let small = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/small.ron");
        let source = DatasetSource::parse(small).unwrap();
        assert!(source.build(0).unwrap().describe().starts_with("generated shapes"));
    }
}
