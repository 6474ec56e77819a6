//! Labels of images that are listed elsewhere.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use plugin_api::DatasetError;

use super::builder::{Builder, ListedLabels};
use super::{Columns, in_order, parse};
use crate::classes::listed;
use crate::images::{Labels, Part};
use crate::listing::{Entries, file_name, shown, shown_path};
use crate::places::error;

/// Labels by path, from a list.
pub(crate) struct LabelFile {
    builder: Builder,
}

/// What of an image's path a list of labels has.
#[derive(Clone, Copy)]
enum Key {
    /// The path below the root.
    Path,
    /// The name of the file.
    Name,
    /// The name of the file without its ending.
    Stem,
}

impl Key {
    fn of(self, path: &[u8]) -> &[u8] {
        let name = file_name(path);
        match self {
            Self::Path => path,
            Self::Name => name,
            Self::Stem => &name[..name.iter().rposition(|&byte| byte == b'.').unwrap_or(name.len())],
        }
    }
}

/// The labels of a file by one kind of key.
struct ByKey<'a> {
    key: Key,
    numbers: HashMap<&'a [u8], u32>,
}

impl ByKey<'_> {
    fn number(&self, path: &[u8]) -> Option<u32> {
        self.numbers.get(self.key.of(path)).copied()
    }
}

impl LabelFile {
    /// Reads `file`, a list as [`ListFile`](super::ListFile) takes it, in which every line has a label.
    ///
    /// # Errors
    /// If it cannot be read, or has no labels.
    pub(crate) fn read(file: &Path, columns: &Columns) -> Result<Self, DatasetError> {
        let builder = parse(file, columns)?;
        if builder.labels.is_empty() {
            let reason =
                if builder.entries.is_empty() { "there are no lines in it" } else { "it has no labels" };
            return Err(error(file, reason, "each line is the path of an image and its label"));
        }
        Ok(Self { builder })
    }

    /// The images of `parts` that have a label here, with their labels. The other images are left out, which `notes`
    /// tell.
    ///
    /// # Errors
    /// If no image of `parts` has a label here.
    pub(crate) fn label(
        &self,
        parts: &mut [Part],
        notes: &mut Vec<String>,
    ) -> Result<ListedLabels, DatasetError> {
        // The kind of key that labels most; of equals, the surest.
        let mut best: Option<(usize, ByKey<'_>)> = None;
        for key in [Key::Path, Key::Name, Key::Stem] {
            let labels = self.by(key);
            let paths = parts.iter().flat_map(|part| part.entries.paths());
            let n = paths.filter(|path| labels.number(path).is_some()).count();
            if n > best.as_ref().map_or(0, |&(most, _)| most) {
                best = Some((n, labels));
            }
        }
        let file = &self.builder.file;
        let Some((_, labels)) = best else {
            let (here, there) =
                (&self.builder.entries, parts.iter().find_map(|part| part.entries.paths().next()));
            return Err(error(
                file,
                format!(
                    "it labels none of the images: it has `{}`, and there is `{}`",
                    shown(here.path(0)),
                    shown(there.unwrap_or_default())
                ),
                "each line is a path below the root, or the name of a file, and a label",
            ));
        };
        let mut of_images = Vec::new();
        for part in parts.iter_mut() {
            let number = |path: &[u8]| labels.number(path);
            let without: Vec<&[u8]> = part.entries.paths().filter(|path| number(path).is_none()).collect();
            of_images.extend(part.entries.paths().filter_map(number));
            if without.is_empty() {
                continue;
            }
            let n = without.len();
            let are = if n == 1 { "1 image has".to_owned() } else { format!("{n} images have") };
            let names = listed(without.iter().map(|path| shown(path)));
            notes.push(format!(
                "{}: {are} no label in {}, and left out: {names}",
                shown_path(&part.place),
                shown_path(file)
            ));
            part.entries = part.entries.filtered(|path| number(path).is_some());
        }
        Ok(ListedLabels { of_images, names: self.builder.label_names() })
    }

    fn by(&self, key: Key) -> ByKey<'_> {
        let Builder { entries, labels, .. } = &self.builder;
        let mut numbers = HashMap::with_capacity(entries.len());
        for (path, &label) in Entries::paths(entries).zip(labels) {
            numbers.entry(without_here(key.of(path))).or_insert(label);
        }
        ByKey { key, numbers }
    }

    /// What is odd about the file, one sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let file = shown_path(&self.builder.file);
        let odd = self.builder.notes.iter().cloned().chain(self.builder.at_odds());
        odd.map(|note| format!("{file}: {note}")).collect()
    }
}

/// Paths of lists often begin with `./`.
fn without_here(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"./").unwrap_or(path)
}

/// The labels of both splits, numbered together.
pub(crate) fn number_both(train: &ListedLabels, test: Option<&ListedLabels>) -> (Labels, Option<Labels>) {
    let names = |labels: &ListedLabels| labels.names.clone();
    let all: BTreeSet<String> = names(train).into_iter().chain(test.into_iter().flat_map(names)).collect();
    let class_names: Arc<[String]> = in_order(all).into();
    let numbers: HashMap<&str, u32> = class_names.iter().map(String::as_str).zip(0..).collect();
    let numbered = |labels: &ListedLabels| labels.numbered(&numbers, &class_names);
    (numbered(train), test.map(numbered))
}
