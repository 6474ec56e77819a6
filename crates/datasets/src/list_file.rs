//! Images listed in a text file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::{ConfigError, Dataset, DatasetError, Splits};

use crate::decode::ReadOptions;
use crate::files::{FileImages, error, has_image_extension, relative_hint};
use crate::flat_folder::check_not_empty;

plugin_api::register! {
    dyn Dataset {
        name: "list-file",
        summary: "images listed in a text file, one `path` or `path label` per line",
        source: "",
        example: r#"(path: "train.txt")"#,
        build: |config: ListFileConfig, _context| ListFile::new(config),
    }
}

/// The config of [`ListFile`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListFileConfig {
    /// List of the training images. Each line is a path, optionally followed by a tab or space and a label. Paths are
    /// relative to the list's folder. Lines that start with `#` are comments.
    pub path: PathBuf,
    /// List of the test images; no test split by default.
    #[serde(default)]
    pub test: Option<PathBuf>,
    /// How the files become images.
    #[serde(default)]
    pub read: ReadOptions,
}

/// Images listed in a text file.
///
/// A line that ends in an image extension is a path as a whole. Otherwise, the label is what follows the last tab, or
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
        let train = read_list(&self.config.path)?;
        let test = self.config.test.as_deref().map(read_list).transpose()?;
        let class_names: Arc<[String]> = class_names(&train).into();
        let images = |list: List| -> Result<_, DatasetError> {
            let labels = number_labels(&list, &class_names, &self.config.path)?;
            let paths = list.entries.into_iter().map(|entry| entry.path).collect();
            let read = self.config.read.clone();
            Ok(Arc::new(FileImages { paths, labels, class_names: Arc::clone(&class_names), read }) as _)
        };
        if let Some(test) = &test
            && test.has_labels() != train.has_labels()
        {
            let (with, without) =
                if train.has_labels() { (&train.file, &test.file) } else { (&test.file, &train.file) };
            let reason = format!("it has no labels, but {} does", with.display());
            return Err(error(without, reason, "add labels to both lists, or to neither"));
        }
        let test = test.map(images).transpose()?;
        Ok(Splits { train: images(train)?, test, notes: Vec::new() })
    }

    fn channels(&self) -> usize {
        self.config.read.channels()
    }

    fn describe(&self) -> String {
        format!("images listed in {}", self.config.path.display())
    }
}

pub(crate) struct List {
    file: PathBuf,
    /// At least one; all or none of them have labels.
    pub(crate) entries: Vec<Entry>,
}

pub(crate) struct Entry {
    line: usize,
    pub(crate) path: PathBuf,
    label: Option<String>,
}

impl List {
    fn has_labels(&self) -> bool {
        self.entries[0].label.is_some()
    }
}

pub(crate) fn read_list(file: &Path) -> Result<List, DatasetError> {
    let text = std::fs::read_to_string(file).map_err(|failure| {
        let hint = match failure.kind() {
            std::io::ErrorKind::NotFound => relative_hint(file),
            std::io::ErrorKind::InvalidData => "save it as UTF-8".into(),
            _ => "check that it is a text file that can be read".into(),
        };
        error(file, format!("the list cannot be read: {failure}"), hint)
    })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut entries: Vec<Entry> = Vec::new();
    for (line, content) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let (path, label) = split_line(content);
        let entry = Entry { line, path: folder.join(path), label: label.map(str::to_owned) };
        if let Some(first) = entries.first()
            && first.label.is_some() != entry.label.is_some()
        {
            let (with, without) = if entry.label.is_some() { (line, first.line) } else { (first.line, line) };
            return Err(error(
                file,
                format!("line {without} has no label, but line {with} has one"),
                "add a label to every line, or to none",
            ));
        }
        entries.push(entry);
    }
    let Some(first) = entries.first() else {
        return Err(error(
            file,
            "there are no images in this list",
            "each line is a path, or a path and a label",
        ));
    };
    // Only the first path is checked: this finds a wrong folder without a million lookups.
    if !first.path.exists() {
        return Err(error(
            file,
            format!("line {}: the file {} does not exist", first.line, first.path.display()),
            "paths are relative to the folder of the list",
        ));
    }
    Ok(List { file: file.to_owned(), entries })
}

fn split_line(line: &str) -> (&str, Option<&str>) {
    if has_image_extension(Path::new(line)) {
        return (line, None);
    }
    match line.rsplit_once('\t').or_else(|| line.rsplit_once(' ')) {
        Some((path, label)) => (path.trim_end(), Some(label.trim_start())),
        None => (line, None),
    }
}

pub(crate) fn class_names(list: &List) -> Vec<String> {
    let names: BTreeSet<&str> = list.entries.iter().filter_map(|entry| entry.label.as_deref()).collect();
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    if names.iter().all(|name| name.parse::<u64>().is_ok()) {
        // The sort keeps the order of `7` and `07`, which are two names.
        names.sort_by_key(|name| name.parse::<u64>().unwrap_or_default());
    }
    names
}

pub(crate) fn number_labels(
    list: &List,
    class_names: &[String],
    train_file: &Path,
) -> Result<Option<Vec<u32>>, DatasetError> {
    let numbers: std::collections::HashMap<&str, u32> =
        class_names.iter().map(String::as_str).zip(0..).collect();
    let number = |entry: &Entry| {
        let label = entry.label.as_deref()?;
        Some(numbers.get(label).copied().ok_or_else(|| {
            error(
                &list.file,
                format!("line {}: no image in {} has the label `{label}`", entry.line, train_file.display()),
                "the test classes must be among the training classes",
            )
        }))
    };
    list.entries.iter().map(number).map(Option::transpose).collect()
}
