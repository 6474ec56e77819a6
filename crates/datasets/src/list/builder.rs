//! A list, line by line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::DatasetError;

use super::List;
use super::roles::Roles;
use crate::classes::listed;
use crate::images::{Labels, Part};
use crate::listing::{Entries, path_of, shown, shown_path};
use crate::places::error;
use crate::store::Folder;

/// What has been read of a list.
pub(super) struct Builder {
    pub(super) file: PathBuf,
    is_table: bool,
    pub(super) entries: Entries,
    /// One for each entry; `None` for a line without a label.
    pub(super) labels: Vec<Option<u32>>,
    /// What a column says of the splits that the entries belong to.
    pub(super) roles: Option<Roles>,
    numbers: LabelNumbers,
    pub(super) notes: Vec<String>,
}

/// Paths that are looked up: a wrong folder is found without a million lookups, and one missing file is no wrong folder.
const N_LOOKED_UP: usize = 16;

/// Lines of which an earlier line has the same path.
struct Repeats {
    n: usize,
    /// Those with another label than the line before.
    n_at_odds: usize,
    /// The index of the first of them.
    first: Option<usize>,
}

/// Each label, and its place in the order in which they came.
#[derive(Default)]
struct LabelNumbers(HashMap<String, u32>);

impl LabelNumbers {
    fn number(&mut self, label: String) -> u32 {
        let n = self.0.len() as u32;
        *self.0.entry(label).or_insert(n)
    }

    fn names(&self) -> Vec<String> {
        let mut names = vec![String::new(); self.0.len()];
        self.0.iter().for_each(|(name, &number)| names[number as usize].clone_from(name));
        names
    }
}

/// Labels as a list has them.
pub(crate) struct ListedLabels {
    /// Which of `names` each image has.
    pub(super) of_images: Vec<u32>,
    /// In the order in which they come.
    pub(super) names: Vec<String>,
}

impl ListedLabels {
    /// One label per image.
    pub(crate) fn of(labels: impl IntoIterator<Item = String>) -> Self {
        let mut numbers = LabelNumbers::default();
        let of_images = labels.into_iter().map(|label| numbers.number(label)).collect();
        Self { of_images, names: numbers.names() }
    }

    /// With the numbers that the names have in `class_names`.
    pub(super) fn numbered(&self, numbers: &HashMap<&str, u32>, class_names: &Arc<[String]>) -> Labels {
        let names: Vec<u32> = self.names.iter().map(|name| numbers[name.as_str()]).collect();
        let of_images = self.of_images.iter().map(|&name| names[name as usize]).collect();
        Labels { of_images: Some(of_images), class_names: Arc::clone(class_names) }
    }
}

/// Those of `entries` for which `is_kept` has a true.
pub(super) fn kept(entries: &Entries, is_kept: &[bool]) -> Entries {
    let mut is_kept = is_kept.iter();
    entries.filtered(|_| is_kept.next() == Some(&true))
}

impl Builder {
    pub(super) fn new(file: &Path, is_table: bool) -> Self {
        Self {
            file: file.to_owned(),
            is_table,
            entries: Entries::default(),
            labels: Vec::new(),
            roles: None,
            numbers: LabelNumbers::default(),
            notes: Vec::new(),
        }
    }

    /// Adds the image of a line, which counts from 1.
    pub(super) fn push(&mut self, line: u32, path: &[u8], label: Option<&[u8]>) {
        self.entries.push(&[path], line);
        self.labels.push(label.map(|label| self.numbers.number(shown(label))));
    }

    /// Takes all lines as ones without a label.
    pub(super) fn forget_labels(&mut self) {
        self.labels.iter_mut().for_each(|label| *label = None);
        self.numbers = LabelNumbers::default();
    }

    pub(super) fn has_labels(&self) -> bool {
        self.labels.iter().any(Option::is_some)
    }

    pub(super) fn finish(mut self) -> Result<List, DatasetError> {
        if self.entries.is_empty() {
            return Err(error(
                &self.file,
                "there are no images in this list",
                "each line is a path, or a path and a label",
            ));
        }
        let folder = self.file.parent().unwrap_or(Path::new("")).to_owned();
        self.check_folder(&folder)?;
        self.notes.extend(self.repeated());
        self.leave_out_without_label();
        let names = self.label_names();
        let of_images: Option<Vec<u32>> = self.labels.into_iter().collect();
        let labels = of_images.map(|of_images| ListedLabels { of_images, names });
        let store = Arc::new(Folder { path: folder.clone() });
        let part = Part { place: folder, store, entries: self.entries };
        Ok(List { file: self.file, part, labels, roles: self.roles, notes: self.notes })
    }

    /// Fails if none of some files is there.
    fn check_folder(&self, folder: &Path) -> Result<(), DatasetError> {
        let step = self.entries.len().div_ceil(N_LOOKED_UP);
        let path = |index: usize| folder.join(path_of(self.entries.path(index)));
        if (0..self.entries.len()).step_by(step).any(|index| path(index).exists()) {
            return Ok(());
        }
        let hint = match self.entries.path(0).contains(&b',') {
            true => {
                "a tab or a space separates path and label; commas are read in a list that ends in `.csv`"
            }
            false => "paths are relative to the folder of the list",
        };
        let reason =
            format!("line {}: the file {} does not exist", self.entries.number(0), shown_path(&path(0)));
        Err(error(&self.file, reason, hint))
    }

    /// Leaves out lines without a label where others have one, which a note tells.
    fn leave_out_without_label(&mut self) {
        let without: Vec<usize> = (0..self.labels.len()).filter(|&i| self.labels[i].is_none()).collect();
        if without.is_empty() || without.len() == self.labels.len() {
            return;
        }
        let lines = |n: usize| if n == 1 { "1 line has".into() } else { format!("{n} lines have") };
        let path = |&index: &usize| {
            format!("line {}, {}", self.entries.number(index), shown(self.entries.path(index)))
        };
        // A space in a path looks like a label behind it, where no line has one.
        if !self.is_table && without.len() * 2 > self.labels.len() {
            let with: Vec<usize> = (0..self.labels.len()).filter(|&i| self.labels[i].is_some()).collect();
            let names = listed(with.iter().map(path));
            self.notes.push(format!(
                "{} a label, and most lines have none, so that no label is used: {names}",
                lines(with.len())
            ));
            self.labels.iter_mut().for_each(|label| *label = None);
            return;
        }
        let names = listed(without.iter().map(path));
        self.notes.push(format!("{} no label, and left out: {names}", lines(without.len())));
        let has_label: Vec<bool> = self.labels.iter().map(Option::is_some).collect();
        self.entries = kept(&self.entries, &has_label);
        self.labels.retain(Option::is_some);
        if let Some(roles) = &mut self.roles {
            roles.keep(&has_label);
        }
    }

    /// The labels in the order in which they came.
    pub(super) fn label_names(&self) -> Vec<String> {
        self.numbers.names()
    }

    /// What to say of images that are listed more than once.
    fn repeated(&self) -> Option<String> {
        let Repeats { n, n_at_odds, first } = self.repeats();
        let lines = if n == 1 { "1 line repeats".into() } else { format!("{n} lines repeat") };
        let at_odds =
            if n_at_odds > 0 { format!(", {n_at_odds} of them with another label") } else { String::new() };
        first.map(|first| {
            format!(
                "{lines} an image of another line{at_odds}, and such images count as often as they are listed: line \
                 {}, {}",
                self.entries.number(first),
                shown(self.entries.path(first))
            )
        })
    }

    /// What to say of images that have several labels.
    pub(super) fn at_odds(&self) -> Option<String> {
        let Repeats { n_at_odds: n, .. } = self.repeats();
        let lines = if n == 1 { "1 line has".into() } else { format!("{n} lines have") };
        (n > 0).then(|| format!("{lines} another label for an image of an earlier line, which counts"))
    }

    fn repeats(&self) -> Repeats {
        let mut order: Vec<u32> = (0..self.entries.len() as u32).collect();
        let path = |index: u32| self.entries.path(index as usize);
        order.sort_unstable_by(|&a, &b| path(a).cmp(path(b)).then(a.cmp(&b)));
        let mut repeats = Repeats { n: 0, n_at_odds: 0, first: None };
        for pair in order.windows(2).filter(|pair| path(pair[0]) == path(pair[1])) {
            repeats.n += 1;
            repeats.first =
                Some(repeats.first.map_or(pair[1] as usize, |first: usize| first.min(pair[1] as usize)));
            let label = |index: u32| self.labels.get(index as usize);
            repeats.n_at_odds += usize::from(label(pair[0]) != label(pair[1]));
        }
        repeats
    }
}
