//! The dataset of Parquet files.

use std::path::{Path, PathBuf};

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, DatasetFiles, Splits};

use super::list;
use crate::decode::{ReadOptions, decode_bytes};
use crate::places::error;
use crate::roots::{OneOrMore, check_paths, expanded};
use crate::splits::splits_of_listed;

plugin_api::register! {
    dyn Dataset {
        name: "parquet",
        summary: "a column of images in Parquet files, as datasets of the Hugging Face Hub are; needs a build with `parquet`",
        source: "",
        example: r#"(path: "data/train-*.parquet", test: "data/test-*.parquet")"#,
        build: |config: ParquetConfig, _context| ParquetDataset::new(config),
    }
}

plugin_api::inventory::submit! {
    DatasetFiles {
        dataset: "parquet",
        field: "path",
        endings: &["parquet"],
        what: "a Parquet file",
        takes_several: true,
    }
}

/// The config of [`ParquetDataset`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetConfig {
    /// A Parquet file, or a pattern such as `data/train-*.parquet`; or a list of these.
    pub path: OneOrMore,
    /// Files of the test images; no test split by default.
    #[serde(default)]
    pub test: Option<OneOrMore>,
    /// The column with the bytes of image files, or with structures whose field `bytes` they are. By default the only one that
    /// there is, or `image`, `img`, `jpg`, `png` or `webp`.
    #[serde(default)]
    pub image: Option<String>,
    /// The column with the class of each image, as a number or as text. By default `label`, `cls`, `class`, `class_name` or
    /// `category`, if there is one.
    #[serde(default)]
    pub label: Option<String>,
    /// How the files become images.
    #[serde(default)]
    pub read: ReadOptions,
}

/// Images in Parquet files: a row is an image.
///
/// Numbers of classes get the names that Hugging Face's `datasets` library keeps in a file. Rows without a label, or with the
/// label -1, are left out if others have one, which a note tells.
#[derive(Debug, Clone)]
pub struct ParquetDataset {
    config: ParquetConfig,
}

impl ParquetDataset {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If a path is empty, a column has no name, or `read` makes no sense.
    pub fn new(config: ParquetConfig) -> Result<Self, ConfigError> {
        check_paths("path", &config.path)?;
        config.test.as_ref().map_or(Ok(()), |test| check_paths("test", test))?;
        for (field, name) in [("image", &config.image), ("label", &config.label)] {
            if name.as_ref().is_some_and(String::is_empty) {
                return Err(ConfigError::field(field, "\"\"", "it must be the name of a column"));
            }
        }
        config.read.check()?;
        Ok(Self { config })
    }

    fn files(paths: &OneOrMore) -> Result<Vec<PathBuf>, DatasetError> {
        let files = expanded(paths)?;
        match files.iter().find(|file| file.is_dir()) {
            Some(folder) => Err(is_folder(folder)),
            None => Ok(files),
        }
    }
}

/// A folder may have the files of both splits, which are told apart by a pattern.
fn is_folder(folder: &Path) -> DatasetError {
    let hint = format!("name the files: `path: \"{}\"`", folder.join("train-*.parquet").display());
    error(folder, "this is a folder", hint)
}

impl Dataset for ParquetDataset {
    fn open(&self) -> Result<Splits, DatasetError> {
        let ParquetConfig { path, test, image, label, read } = &self.config;
        let rows = |paths| list(&Self::files(paths)?, image.as_deref(), label.as_deref());
        let train = rows(path)?;
        let test = test.as_ref().map(rows).transpose()?;
        Ok(splits_of_listed(train, test, read))
    }

    fn channels(&self) -> usize {
        self.config.read.channels()
    }

    fn decode(&self, bytes: &[u8]) -> Option<Result<ByteImage, String>> {
        Some(decode_bytes(bytes, &self.config.read))
    }

    fn read_options(&self) -> Option<String> {
        self.config.read.written()
    }

    fn describe(&self) -> String {
        format!("images in {}", self.config.path.told())
    }
}
