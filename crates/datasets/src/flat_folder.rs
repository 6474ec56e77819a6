//! All images in a folder.

use std::path::PathBuf;
use std::sync::Arc;

use plugin_api::{ConfigError, Dataset, DatasetError, Splits};

use crate::decode::ReadOptions;
use crate::files::{FileImages, list_images, no_images};

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
}

/// All images in a folder and its subfolders, without labels.
#[derive(Debug, Clone)]
pub struct FlatFolder {
    config: FlatFolderConfig,
}

impl FlatFolder {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If a path is empty, or if `read` makes no sense.
    pub fn new(config: FlatFolderConfig) -> Result<Self, ConfigError> {
        check_not_empty("root", Some(&config.root))?;
        check_not_empty("test", config.test.as_ref())?;
        config.read.check()?;
        Ok(Self { config })
    }
}

impl Dataset for FlatFolder {
    fn open(&self) -> Result<Splits, DatasetError> {
        let images = |folder: &PathBuf| -> Result<Arc<dyn plugin_api::Images>, DatasetError> {
            let paths = list_images(folder)?;
            if paths.is_empty() {
                return Err(no_images(folder));
            }
            Ok(Arc::new(FileImages {
                paths,
                labels: None,
                class_names: Arc::new([]),
                read: self.config.read.clone(),
            }))
        };
        Ok(Splits {
            train: images(&self.config.root)?,
            test: self.config.test.as_ref().map(images).transpose()?,
            notes: Vec::new(),
        })
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
