//! Images listed in a file.

mod builder;
mod list_file;
mod text;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::DatasetError;

use self::builder::Builder;
use crate::images::{Labels, Part};
use crate::listing::shown_path;
use crate::places::{error, relative_hint};

pub use self::list_file::{ListFile, ListFileConfig};

/// The images that a file lists: at least one, and all or none of them have labels.
pub(crate) struct List {
    pub(crate) file: PathBuf,
    /// The number of an entry is its line.
    pub(crate) part: Part,
    labels: Option<ListedLabels>,
    notes: Vec<String>,
}

/// Labels as a list has them.
struct ListedLabels {
    /// Which of `names` each image has.
    of_images: Vec<u32>,
    /// In the order in which they come.
    names: Vec<String>,
}

impl List {
    pub(crate) fn has_labels(&self) -> bool {
        self.labels.is_some()
    }

    /// What is odd about the list, one sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let file = shown_path(&self.file);
        self.notes.iter().map(|note| format!("{file}: {note}")).collect()
    }

    fn label_names(&self) -> &[String] {
        self.labels.as_ref().map_or(&[], |labels| &labels.names)
    }

    fn numbered(&self, numbers: &HashMap<&str, u32>, class_names: &Arc<[String]>) -> Labels {
        let number = |labels: &ListedLabels| {
            let names: Vec<u32> = labels.names.iter().map(|name| numbers[name.as_str()]).collect();
            labels.of_images.iter().map(|&name| names[name as usize]).collect()
        };
        Labels { of_images: self.labels.as_ref().map(number), class_names: Arc::clone(class_names) }
    }
}

/// Reads the list `file`.
///
/// # Errors
/// If it cannot be read or lists no images, some lines have a label and some have none, or the first image does not
/// exist.
pub(crate) fn read_list(file: &Path) -> Result<List, DatasetError> {
    let bytes = std::fs::read(file).map_err(|failure| {
        let hint = match failure.kind() {
            std::io::ErrorKind::NotFound => relative_hint(file),
            _ => "check that it is a text file that can be read".into(),
        };
        error(file, format!("the list cannot be read: {failure}"), hint)
    })?;
    // Other programs save text in pairs of bytes.
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || bytes.contains(&0) {
        return Err(error(file, "the list is no text in UTF-8", "save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let mut builder = Builder::new(file);
    text::read(bytes, &mut builder)?;
    builder.finish()
}

/// The labels of both lists, numbered together: in the order of their names, which is numeric if all of them are whole
/// numbers.
pub(crate) fn number_labels(train: &List, test: Option<&List>) -> (Labels, Option<Labels>) {
    let names = |list: Option<&'_ List>| list.map(List::label_names).unwrap_or_default().to_vec();
    let all: BTreeSet<String> = names(Some(train)).into_iter().chain(names(test)).collect();
    let class_names: Arc<[String]> = in_order(all).into();
    let numbers: HashMap<&str, u32> = class_names.iter().map(String::as_str).zip(0..).collect();
    (train.numbered(&numbers, &class_names), test.map(|test| test.numbered(&numbers, &class_names)))
}

/// Whole numbers by their value, other names by their letters.
pub(crate) fn in_order(names: BTreeSet<String>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().collect();
    if names.iter().all(|name| name.parse::<u64>().is_ok()) {
        // The sort keeps the order of `7` and `07`, which are two names.
        names.sort_by_key(|name| name.parse::<u64>().unwrap_or_default());
    }
    names
}
