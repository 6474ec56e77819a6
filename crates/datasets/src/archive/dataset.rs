//! The dataset of archives.

use std::path::PathBuf;

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, DatasetFiles, Splits};

use super::{files_of, open, webdataset};
use crate::decode::{ReadOptions, decode_bytes};
use crate::images::Part;
use crate::list::ListedLabels;
use crate::listing::{Patterns, shown, shown_path, split_first};
use crate::places::no_images;
use crate::roots::{OneOrMore, check_paths, expanded};
use crate::splits::{Listed, splits_of_listed};

plugin_api::register! {
    dyn Dataset {
        name: "archive",
        summary: "images in .zip and .tar files, read where they are; with class folders or WebDataset's labels",
        source: "",
        example: r#"(path: "photos.zip")"#,
        build: |config: ArchiveConfig, _context| ArchiveDataset::new(config),
    }
}

plugin_api::inventory::submit! {
    DatasetFiles {
        dataset: "archive",
        field: "path",
        endings: &["zip", "tar"],
        what: "an archive",
        takes_several: true,
    }
}

/// The config of [`ArchiveDataset`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveConfig {
    /// The archive, a folder of archives, or a pattern such as `shards/*.tar`; or a list of these.
    pub path: OneOrMore,
    /// Archives of the test images; no test split by default.
    #[serde(default)]
    pub test: Option<OneOrMore>,
    /// The field with the label in `.json` files beside the images. By default `label`, `cls`, `class`, `class_name` or
    /// `category`.
    #[serde(default)]
    pub label: Option<String>,
    /// Patterns of what is left out, for paths in the archives: `**/masks/**`, `*.gif`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// How the files become images.
    #[serde(default)]
    pub read: ReadOptions,
}

/// Images in archives, zip files or tar files without compression.
///
/// Images have labels if each archive has them as WebDataset does (`0001.cls` or `0001.json` beside `0001.jpg`), or if
/// every image is in a class folder.
#[derive(Debug, Clone)]
pub struct ArchiveDataset {
    config: ArchiveConfig,
    exclude: Patterns,
}

impl ArchiveDataset {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If a path is empty, a pattern is none, or `read` makes no sense.
    pub fn new(config: ArchiveConfig) -> Result<Self, ConfigError> {
        check_paths("path", &config.path)?;
        config.test.as_ref().map_or(Ok(()), |test| check_paths("test", test))?;
        config.read.check()?;
        let exclude = Patterns::new("exclude", &config.exclude)?;
        Ok(Self { config, exclude })
    }

    fn list(&self, paths: &OneOrMore) -> Result<Listed, DatasetError> {
        let mut files = Vec::new();
        for path in expanded(paths)? {
            files.extend(files_of(&path)?);
        }
        list(&files, &self.exclude, self.config.label.as_deref())
    }
}

/// Lists `files`, which are archives.
///
/// # Errors
/// If one cannot be listed, or there is no image in any.
pub(crate) fn list(
    files: &[PathBuf],
    exclude: &Patterns,
    field: Option<&str>,
) -> Result<Listed, DatasetError> {
    let (mut parts, mut notes) = (Vec::new(), Vec::new());
    let mut labels = Some(Vec::new());
    for file in files {
        let mut archive = open(file, exclude)?;
        let found = webdataset::labels(&mut archive, field)?;
        if found.is_none() {
            archive.others.paths().for_each(|path| archive.passed.add_file(path));
        }
        notes.append(&mut archive.notes);
        notes.extend(archive.passed.notes(&shown_path(file)));
        labels = labels.zip(found).map(|(mut labels, found)| {
            labels.extend(found);
            labels
        });
        parts.push(archive.part);
    }
    if parts.iter().all(|part| part.entries.is_empty()) {
        return Err(no_images(&files[0], &notes));
    }
    let labels = labels.or_else(|| class_folders(&parts));
    Ok(Listed { parts, labels: labels.map(ListedLabels::of), notes })
}

/// The class folder of every image, if each is in one. A folder around all class folders is none.
fn class_folders(parts: &[Part]) -> Option<Vec<String>> {
    let paths = || parts.iter().flat_map(|part| part.entries.paths());
    let mut depth = 0;
    loop {
        let below = |path| (0..depth).try_fold(path, |path, _| split_first(path).map(|(_, rest)| rest));
        let class = |path| below(path).and_then(split_first).map(|(class, _)| class);
        let first = paths().next().and_then(class)?;
        let is_around = paths().all(|path| {
            class(path) == Some(first)
                && below(path).and_then(split_first).is_some_and(|(_, rest)| split_first(rest).is_some())
        });
        if !is_around {
            return paths().map(|path| class(path).map(shown)).collect();
        }
        depth += 1;
    }
}

impl Dataset for ArchiveDataset {
    fn open(&self) -> Result<Splits, DatasetError> {
        let train = self.list(&self.config.path)?;
        let test = self.config.test.as_ref().map(|test| self.list(test)).transpose()?;
        let mut splits = splits_of_listed(train, test, &self.config.read);
        splits.notes.extend(self.exclude.notes());
        Ok(splits)
    }

    fn channels(&self) -> usize {
        self.config.read.channels()
    }

    fn decode(&self, bytes: &[u8]) -> Option<Result<ByteImage, String>> {
        Some(decode_bytes(bytes, &self.config.read))
    }

    fn describe(&self) -> String {
        format!("images in {}", self.config.path.told())
    }
}
