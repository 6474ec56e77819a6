//! All images in a folder.

use std::path::PathBuf;

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, Splits};

use crate::decode::{ReadOptions, decode_bytes};
use crate::images::{Labels, Part};
use crate::list::{Columns, LabelFile, number_both};
use crate::listing::Patterns;
use crate::overlap::{check_apart, keep_apart, plain};
use crate::root::{Found, Root};
use crate::roots::{OneOrMore, at_home, check_paths, expanded_roots};
use crate::splits::splits_of;

plugin_api::register! {
    dyn Dataset {
        name: "flat-folder",
        summary: "all images in a folder and its subfolders, with labels from a list if one is given",
        source: "",
        example: r#"(root: "photos")"#,
        build: |config: FlatFolderConfig, _context| FlatFolder::new(config),
    }
}

/// The config of [`FlatFolder`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlatFolderConfig {
    /// Folder of the images, or a .zip or .tar file with them; or a list of these. A relative path starts at the working
    /// directory, `~` is the home folder, and a pattern such as `part-*` stands for all that it matches.
    pub root: OneOrMore,
    /// Folder of test images, for monitors that need no labels; or a list, as for `root`.
    #[serde(default)]
    pub test: Option<OneOrMore>,
    /// How the files become images.
    #[serde(default)]
    pub read: ReadOptions,
    /// List of labels for the images of both folders: a table or text, as the dataset `list-file` takes it. A line has the path
    /// of an image below its folder, or only the name of its file, with or without the ending. Images without a label are
    /// left out.
    #[serde(default)]
    pub labels: Option<PathBuf>,
    /// The column with the paths, in a list of labels that ends in `.csv` or `.tsv`. By default one that is called `path`,
    /// `filename`, `file`, `image` or the like.
    #[serde(default)]
    pub path_column: Option<String>,
    /// The column with the labels. By default one that is called `label`, `class`, `category` or the like, or the other
    /// one of two columns.
    #[serde(default)]
    pub label_column: Option<String>,
    /// Patterns of what is left out, for paths below the root: `**/masks/**`, `*.gif`. A pattern that matches a folder
    /// leaves out all that is in it.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// All images in a folder and its subfolders, with labels from a list if one is given.
#[derive(Debug, Clone)]
pub struct FlatFolder {
    config: FlatFolderConfig,
    exclude: Patterns,
}

impl FlatFolder {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If a path is empty, a folder is given twice, a pattern is none, or `read` makes no sense.
    pub fn new(config: FlatFolderConfig) -> Result<Self, ConfigError> {
        check_paths("root", &config.root)?;
        if let Some(test) = &config.test {
            check_paths("test", test)?;
            let is_root = |test: &PathBuf| config.root.paths().iter().any(|root| plain(root) == plain(test));
            if let Some(same) = test.paths().iter().find(|test| is_root(test)) {
                return Err(ConfigError::field("test", same.display(), "it must differ from `root`"));
            }
        }
        config.read.check()?;
        check_not_empty("labels", config.labels.as_ref())?;
        let exclude = Patterns::new("exclude", &config.exclude)?;
        Ok(Self { config, exclude })
    }
}

impl FlatFolder {
    /// What is below each of `roots`, which may be nothing.
    fn list(&self, roots: &OneOrMore, notes: &mut Vec<String>) -> Result<Vec<Found>, DatasetError> {
        let mut all = Vec::new();
        for path in expanded_roots(roots, notes)? {
            let root = Root::open(&path, &self.exclude)?;
            let found = root.list(None, &self.exclude)?;
            notes.extend_from_slice(root.notes());
            all.push(found);
        }
        check_apart(&all)?;
        Ok(all)
    }
}

/// The parts of `found` that have images; empty ones are told.
fn parts_with_images(found: Vec<Found>, notes: &mut Vec<String>) -> Vec<Part> {
    let mut parts = Vec::new();
    for found in found {
        if found.part.entries.is_empty() {
            notes.extend(found.notes_if_empty());
        } else {
            notes.extend(found.notes());
            parts.push(found.part);
        }
    }
    parts
}

impl Dataset for FlatFolder {
    fn open(&self) -> Result<Splits, DatasetError> {
        let mut notes = Vec::new();
        let mut train = self.list(&self.config.root, &mut notes)?;
        let mut test = self.config.test.as_ref().map(|test| self.list(test, &mut notes)).transpose()?;
        notes.extend(keep_apart(&mut train, test.as_deref_mut().unwrap_or_default())?);
        if let (Some(first), true) = (train.first(), train.iter().all(|found| found.part.entries.is_empty()))
        {
            let told = train.iter().skip(1).flat_map(Found::notes_if_empty);
            return Err(first.no_images(notes.into_iter().chain(told)));
        }
        let mut train = parts_with_images(train, &mut notes);
        let test = test.map(|test| parts_with_images(test, &mut notes));
        // Nothing to measure on is no reason not to train.
        let mut test = test.filter(|test| !test.is_empty());
        let mut labels = (Labels::none(), test.as_ref().map(|_| Labels::none()));
        if let Some(file) = &self.config.labels {
            let FlatFolderConfig { path_column, label_column, .. } = self.config.clone();
            let file = LabelFile::read(&at_home(file), &Columns { path: path_column, label: label_column })?;
            let of_train = file.label(&mut train, &mut notes)?;
            let of_test = test.as_mut().map(|test| file.label(test, &mut notes)).transpose()?;
            notes.extend(file.notes());
            labels = number_both(&of_train, of_test.as_ref());
        }
        let mut splits = splits_of((train, labels.0), test.zip(labels.1), &self.config.read, notes);
        splits.notes.extend(self.exclude.notes());
        Ok(splits)
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
        format!("images under {}", self.config.root.told())
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
