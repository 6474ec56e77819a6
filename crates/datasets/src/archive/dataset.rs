//! The dataset of archives.

use std::path::PathBuf;

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, DatasetFiles, Splits};

use super::webdataset::{self, Beside};
use super::{Archive, files_of, open};
use crate::classes::listed;
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
/// Images have labels if most have one as WebDataset keeps them (`0001.cls` or `0001.json` beside `0001.jpg`), or if nearly all
/// are in class folders. Those without one are then left out, which a note tells.
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
/// If none can be listed, or there is no image in any.
pub(crate) fn list(
    files: &[PathBuf],
    exclude: &Patterns,
    field: Option<&str>,
) -> Result<Listed, DatasetError> {
    let (mut archives, mut notes, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match open(file, exclude) {
            Ok(archive) => {
                let beside = webdataset::labels(&archive, field);
                // One archive alone has to be as it should.
                let beside = if files.len() == 1 { beside? } else { told(beside, &mut notes).flatten() };
                archives.push((archive, beside));
            }
            // A name that is wrong is no archive that is damaged.
            Err(failure) if files.len() == 1 || !file.exists() => return Err(failure),
            Err(failure) => failures.push(failure),
        }
    }
    if archives.is_empty()
        && let Some(failure) = failures.pop()
    {
        return Err(failure);
    }
    notes.extend(failures.iter().map(|failure| format!("{failure}; the archive is left out")));
    let labels = labels_beside(&mut archives, &mut notes);
    let mut parts = Vec::new();
    for (mut archive, _) in archives {
        notes.extend(webdataset::several_in_a_sample(&archive));
        notes.append(&mut archive.notes);
        notes.extend(archive.passed.notes(&shown_path(&archive.part.place)));
        parts.push(archive.part);
    }
    if parts.iter().all(|part| part.entries.is_empty()) {
        return Err(no_images(&files[0], &notes));
    }
    let labels = labels.or_else(|| class_folders(&mut parts, &mut notes));
    Ok(Listed { parts, labels: labels.map(ListedLabels::of), notes })
}

/// What `result` has; its fault becomes a note.
fn told<T>(result: Result<T, DatasetError>, notes: &mut Vec<String>) -> Option<T> {
    result.map_err(|failure| notes.push(failure.to_string())).ok()
}

/// The labels that stand beside the images of `archives`, if most images have one. The others are then left out.
fn labels_beside(archives: &mut [(Archive, Option<Beside>)], notes: &mut Vec<String>) -> Option<Vec<String>> {
    let n: usize = archives.iter().map(|(archive, _)| archive.part.entries.len()).sum();
    let all = archives.iter().filter_map(|(_, beside)| beside.as_ref());
    let n_labeled = all.flat_map(|beside| &beside.labels).filter(|label| label.is_some()).count();
    let is_used = n_labeled > 0 && n_labeled * 2 >= n;
    if n_labeled > 0 && !is_used {
        notes.push(format!(
            "{n_labeled} of {n} images have a label beside them, and most have none, so that no label is used"
        ));
    }
    let mut labels = Vec::new();
    for (archive, beside) in archives {
        if !is_used || beside.is_none() {
            let Archive { others, passed, .. } = archive;
            others.paths().for_each(|path| passed.add_file(path));
        }
        if is_used {
            labels.extend(webdataset::leave_out_without(archive, beside.take()));
        }
    }
    is_used.then_some(labels)
}

/// Images that are in no class folder may be so few of all; with more, folders are no classes.
const MOST_LOOSE: f64 = 0.25;

/// The class folder of every image, if nearly all are in one. A folder around all class folders is none. Loose images are left
/// out, which is told.
fn class_folders(parts: &mut [Part], notes: &mut Vec<String>) -> Option<Vec<String>> {
    let n: usize = parts.iter().map(|part| part.entries.len()).sum();
    let mut depth = 0;
    let n_loose = loop {
        let paths = || parts.iter().flat_map(|part| part.entries.paths());
        let first = paths().find_map(|path| class_at(path, depth))?.0;
        let is_around = paths().filter_map(|path| class_at(path, depth)).all(|(class, _)| class == first);
        let n_below = paths().filter(|path| class_at(path, depth + 1).is_some()).count();
        let is_few = |n_loose: usize| n_loose as f64 <= n as f64 * MOST_LOOSE;
        if is_around && is_few(n - n_below) {
            depth += 1;
            continue;
        }
        let n_loose = paths().filter(|path| class_at(path, depth).is_none()).count();
        if !is_few(n_loose) || n_loose > 0 && is_around {
            if !is_around {
                notes.push(format!(
                    "{n_loose} of {n} images are in no folder, so that folders are no classes"
                ));
            }
            return None;
        }
        break n_loose;
    };
    if n_loose > 0 {
        let loose = parts.iter().flat_map(|part| part.entries.paths());
        let names: Vec<String> = loose.filter(|path| class_at(path, depth).is_none()).map(shown).collect();
        let names = listed(names.into_iter());
        let are = if n_loose == 1 { "1 image is".into() } else { format!("{n_loose} images are") };
        notes.push(format!("{are} beside the class folders, without a class, and left out: {names}"));
        for part in parts.iter_mut() {
            part.entries = part.entries.filtered(|path| class_at(path, depth).is_some());
        }
    }
    let paths = parts.iter().flat_map(|part| part.entries.paths());
    paths.map(|path| class_at(path, depth).map(|(class, _)| shown(class))).collect()
}

/// The folder of `path` below `depth` others, and what is in it.
fn class_at(path: &[u8], depth: usize) -> Option<(&[u8], &[u8])> {
    let below = (0..depth).try_fold(path, |path, _| split_first(path).map(|(_, rest)| rest));
    below.and_then(split_first)
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

    fn read_options(&self) -> Option<String> {
        self.config.read.written()
    }

    fn describe(&self) -> String {
        format!("images in {}", self.config.path.told())
    }
}
