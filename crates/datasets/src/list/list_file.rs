//! Images listed in a text file.

use std::path::{Path, PathBuf};

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, DatasetFiles, Splits};

use super::{Columns, List, number_labels, read_divided};
use crate::decode::{ReadOptions, decode_bytes};
use crate::flat_folder::check_not_empty;
use crate::listing::shown_path;
use crate::places::error;
use crate::roots::at_home;
use crate::splits::splits_of;

plugin_api::register! {
    dyn Dataset {
        name: "list-file",
        summary: "images listed in a text file, one `path` or `path label` per line, or in a table (.csv, .tsv)",
        source: "",
        example: r#"(path: "train.txt")"#,
        build: |config: ListFileConfig, _context| ListFile::new(config),
    }
}

plugin_api::inventory::submit! {
    DatasetFiles {
        dataset: "list-file",
        field: "path",
        endings: &["txt", "csv", "tsv"],
        what: "a list of images",
        takes_several: false,
    }
}

/// The config of [`ListFile`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListFileConfig {
    /// List of the training images. Each line is a path, optionally followed by a tab or space and a label. Paths are
    /// relative to the list's folder. Lines that start with `#` are comments. A list that ends in `.csv` or `.tsv` is a
    /// table, with the names of the columns in its first line.
    pub path: PathBuf,
    /// List of the test images; no test split by default.
    #[serde(default)]
    pub test: Option<PathBuf>,
    /// How the files become images.
    #[serde(default)]
    pub read: ReadOptions,
    /// The column with the paths, in a list that ends in `.csv` or `.tsv`. By default one that is called `path`,
    /// `filename`, `file`, `image` or the like.
    #[serde(default)]
    pub path_column: Option<String>,
    /// The column with the labels. By default one that is called `label`, `class`, `category` or the like, or the other
    /// one of two columns.
    #[serde(default)]
    pub label_column: Option<String>,
    /// The column that says which images are to train on (`train`) and which to test on (`val`, or else `test`). By default one
    /// that is called `split`, `set`, `subset` or `fold`, if it has nothing but these words; with `\"\"` none.
    #[serde(default)]
    pub split_column: Option<String>,
}

/// Images listed in a text file.
///
/// A table that ends in `.csv` (with commas or semicolons) or `.tsv` has columns of paths and labels; without a first line
/// of names it may have two. In other lists, a line that ends in an image extension is a path as a whole. Otherwise, the label is what follows the last tab, or
/// the last space if there is no tab. Labels are names. They are numbered in sorted order, which is numeric if all of
/// them are integers.
#[derive(Debug, Clone)]
pub struct ListFile {
    config: ListFileConfig,
}

impl ListFile {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If a path is empty, if both lists are the same, or if `read` makes no sense.
    pub fn new(config: ListFileConfig) -> Result<Self, ConfigError> {
        check_not_empty("path", Some(&config.path))?;
        check_not_empty("test", config.test.as_ref())?;
        if config.test.as_ref() == Some(&config.path) {
            return Err(ConfigError::field("test", config.path.display(), "it must differ from `path`"));
        }
        config.read.check()?;
        Ok(Self { config })
    }
}

impl Dataset for ListFile {
    fn open(&self) -> Result<Splits, DatasetError> {
        let ListFileConfig { path_column, label_column, split_column, .. } = self.config.clone();
        let columns = Columns { path: path_column, label: label_column };
        let read = |file: &Path| read_divided(&at_home(file), &columns, split_column.as_deref());
        let list = read(&self.config.path)?;
        let (train, test) = match self.config.test.as_deref() {
            None => list.divided(),
            // Each list is for one split, and its lines for others are left out.
            Some(test) => (list.trained_on(), Some(read(test)?.held_out())),
        };
        if let Some(test) = &test
            && test.has_labels() != train.has_labels()
        {
            let (with, without) =
                if train.has_labels() { (&train.file, &test.file) } else { (&test.file, &train.file) };
            let reason = format!("it has no labels, but {} does", shown_path(with));
            return Err(error(without, reason, "add labels to both lists, or to neither"));
        }
        let mut notes = train.notes();
        notes.extend(test.iter().flat_map(List::notes));
        let (labels, test_labels) = number_labels(&train, test.as_ref());
        let test = test.map(|list| vec![list.part]).zip(test_labels);
        Ok(splits_of((vec![train.part], labels), test, &self.config.read, notes))
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
        format!("images listed in {}", self.config.path.display())
    }
}
