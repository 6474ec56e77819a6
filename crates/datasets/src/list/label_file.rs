//! Labels of images that are listed elsewhere.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use plugin_api::DatasetError;

use super::builder::{Builder, ListedLabels};
use super::{Columns, in_order, not_divided, parse};
use crate::classes::listed;
use crate::images::{Labels, Part};
use crate::listing::{Entries, SEPARATOR, file_name, shown, shown_path};
use crate::places::error;

/// Labels by path, from a list.
pub(crate) struct LabelFile {
    builder: Builder,
    /// Which lines have labeled an image.
    used: RefCell<Vec<bool>>,
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
    fn is_path(self) -> bool {
        matches!(self, Self::Path)
    }

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
    /// Reads `file`, a list as [`ListFile`](super::ListFile) takes it. Lines without a label label nothing.
    ///
    /// # Errors
    /// If it cannot be read, or has no labels.
    pub(crate) fn read(file: &Path, columns: &Columns) -> Result<Self, DatasetError> {
        let builder = parse(file, columns, None)?;
        if !builder.has_labels() {
            let reason =
                if builder.entries.is_empty() { "there are no lines in it" } else { "it has no labels" };
            return Err(error(file, reason, "each line is the path of an image and its label"));
        }
        let used = RefCell::new(vec![false; builder.entries.len()]);
        Ok(Self { builder, used })
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
        let paths = || parts.iter().flat_map(|part| part.entries.paths());
        let file = &self.builder.file;
        let Some(labels) = self.chosen(&paths) else {
            let (here, there) = (&self.builder.entries, paths().next());
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
        self.mark(labels.key, paths().filter(|path| labels.number(path).is_some()));
        notes.extend(self.shared_names(&labels, paths()));
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

    /// The labels by the kind of key that the file has; `None` if none labels an image.
    ///
    /// A file of paths labels by paths where it can: by the names of files alone, an image of another folder would get the label too.
    /// It is one of paths if most lines have a folder: a few of them say nothing of the others.
    fn chosen<'a, 'b, P: Iterator<Item = &'b [u8]>>(&'a self, paths: &impl Fn() -> P) -> Option<ByKey<'a>> {
        let n_labeled = |labels: &ByKey<'_>| paths().filter(|path| labels.number(path).is_some()).count();
        let has_folder = |path: &[u8]| without_here(path).contains(&SEPARATOR);
        let n_folders = self.builder.entries.paths().filter(|path| has_folder(path)).count();
        if n_folders * 2 > self.builder.entries.len() {
            let by_path = self.by(Key::Path);
            if n_labeled(&by_path) > 0 {
                return Some(by_path);
            }
        }
        // Of equals, the surest.
        let mut best: Option<(usize, ByKey<'_>)> = None;
        for key in [Key::Path, Key::Name, Key::Stem] {
            let labels = self.by(key);
            let n = n_labeled(&labels);
            if n > best.as_ref().map_or(0, |&(most, _)| most) {
                best = Some((n, labels));
            }
        }
        best.map(|(_, labels)| labels)
    }

    fn by(&self, key: Key) -> ByKey<'_> {
        let mut numbers = HashMap::with_capacity(self.builder.entries.len());
        let mut at_odds = HashSet::new();
        for (path, label) in self.lines() {
            let Some(label) = label else { continue };
            let short = without_here(key.of(path));
            let (first, number) = *numbers.entry(short).or_insert((path, label));
            // One path with two labels is told elsewhere, and the first counts.
            if number != label && first != path {
                at_odds.insert(short);
            }
        }
        let numbers = numbers.into_iter().filter(|(short, _)| !at_odds.contains(short));
        ByKey { key, numbers: numbers.map(|(short, (_, number))| (short, number)).collect() }
    }

    fn lines(&self) -> impl Iterator<Item = (&[u8], Option<u32>)> {
        let Builder { entries, labels, .. } = &self.builder;
        Entries::paths(entries).zip(labels.iter().copied())
    }

    /// Keeps in mind which lines have labeled one of `labeled`.
    fn mark<'a>(&self, key: Key, labeled: impl Iterator<Item = &'a [u8]>) {
        let labeled: HashSet<&[u8]> = labeled.map(|path| key.of(path)).collect();
        for ((path, _), used) in self.lines().zip(self.used.borrow_mut().iter_mut()) {
            *used |= labeled.contains(without_here(key.of(path)));
        }
    }

    /// What to say of names that images of several folders have, since all of these get the label.
    fn shared_names<'a>(&self, labels: &ByKey<'_>, paths: impl Iterator<Item = &'a [u8]>) -> Option<String> {
        if labels.key.is_path() {
            return None;
        }
        let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
        for path in paths.filter(|path| labels.number(path).is_some()) {
            *counts.entry(labels.key.of(path)).or_default() += 1;
        }
        let shared: Vec<&[u8]> = counts.into_iter().filter(|(_, n)| *n > 1).map(|(name, _)| name).collect();
        let names = if shared.len() == 1 {
            "1 name is that".into()
        } else {
            format!("{} names are those", shared.len())
        };
        (!shared.is_empty()).then(|| {
            format!(
                "{}: {names} of images in several folders, which all get the label: {}; paths below the root tell them apart",
                shown_path(&self.builder.file),
                listed(shared.iter().map(|name| shown(name)))
            )
        })
    }

    /// What to say of lines that label no image.
    fn unused(&self) -> Option<String> {
        let used = self.used.borrow();
        let unused = self.lines().zip(used.iter()).filter(|((_, label), used)| label.is_some() && !**used);
        let unused: Vec<String> = unused.map(|((path, _), _)| shown(path)).collect();
        let lines =
            if unused.len() == 1 { "1 line labels".into() } else { format!("{} lines label", unused.len()) };
        (!unused.is_empty()).then(|| format!("{lines} no image: {}", listed(unused.into_iter())))
    }

    /// What is odd about the file, one sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let file = shown_path(&self.builder.file);
        let Builder { notes, roles, .. } = &self.builder;
        let odd = notes.iter().cloned().chain(self.builder.at_odds()).chain(self.unused());
        let odd = odd.chain(roles.as_ref().and_then(not_divided));
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
