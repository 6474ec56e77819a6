//! All images in a folder.

use std::path::PathBuf;
use std::sync::Arc;

use plugin_api::{ConfigError, Dataset, DatasetError, Splits};

use crate::decode::ReadOptions;
use crate::images::{Labels, StoredImages};
use crate::listing::Patterns;
use crate::root::Root;

plugin_api::register! {
    dyn Dataset {
        name: "flat-folder",
        summary: "all images in a folder and its subfolders, without labels",
        source: "",
        example: r#"(root: "photos")"#,
        build: |config: FlatFolderConfig, _context| FlatFolder::new(config),
    }
}

/// The config of [`FlatFolder`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlatFolderConfig {
    /// Folder of the images. A relative path starts at the working directory.
    pub root: PathBuf,
    /// Folder of test images, for monitors that need no labels.
    #[serde(default)]
    pub test: Option<PathBuf>,
    /// How the files become images.
    #[serde(default)]
    pub read: ReadOptions,
    /// Patterns of what is left out, for paths below the root: `**/masks/**`, `*.gif`. A pattern that matches a folder
    /// leaves out all that is in it.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// All images in a folder and its subfolders, without labels.
#[derive(Debug, Clone)]
pub struct FlatFolder {
    config: FlatFolderConfig,
    exclude: Patterns,
}

impl FlatFolder {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If a path is empty, a pattern is none, or `read` makes no sense.
    pub fn new(config: FlatFolderConfig) -> Result<Self, ConfigError> {
        check_not_empty("root", Some(&config.root))?;
        check_not_empty("test", config.test.as_ref())?;
        config.read.check()?;
        let exclude = Patterns::new("exclude", &config.exclude)?;
        Ok(Self { config, exclude })
    }
}

impl Dataset for FlatFolder {
    fn open(&self) -> Result<Splits, DatasetError> {
        let mut notes = Vec::new();
        let mut images = |folder: &PathBuf| -> Result<Arc<dyn plugin_api::Images>, DatasetError> {
            let found = Root::open(folder)?.list(None, &self.exclude)?;
            found.check_not_empty()?;
            notes.extend(found.notes());
            Ok(Arc::new(StoredImages::new(vec![found.part], Labels::none(), &self.config.read)))
        };
        let train = images(&self.config.root)?;
        let test = self.config.test.as_ref().map(images).transpose()?;
        notes.extend(self.exclude.notes());
        Ok(Splits { train, test, notes })
    }

    fn channels(&self) -> usize {
        self.config.read.channels()
    }

    fn describe(&self) -> String {
        format!("images under {}", self.config.root.display())
    }
}

/// An empty path would mean the current folder, which nobody writes that way.
pub(crate) fn check_not_empty(field: &'static str, path: Option<&PathBuf>) -> Result<(), ConfigError> {
    match path {
        Some(path) if path.as_os_str().is_empty() => {
            Err(ConfigError::field(field, "\"\"", "it must be a path (`.` is the current folder)"))
        }
        _ => Ok(()),
    }
}
