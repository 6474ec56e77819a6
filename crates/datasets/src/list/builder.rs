//! A list, line by line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::DatasetError;

use super::{List, ListedLabels};
use crate::images::Part;
use crate::listing::{Entries, path_of, shown, shown_path};
use crate::places::error;
use crate::store::Folder;

/// What has been read of a list.
pub(super) struct Builder {
    pub(super) file: PathBuf,
    entries: Entries,
    labels: Vec<u32>,
    /// Each label, and its place in the order in which they came.
    numbers: HashMap<String, u32>,
    pub(super) notes: Vec<String>,
}

impl Builder {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            entries: Entries::default(),
            labels: Vec::new(),
            numbers: HashMap::new(),
            notes: Vec::new(),
        }
    }

    /// Adds the image of a line, which counts from 1.
    pub(super) fn push(&mut self, line: u32, path: &[u8], label: Option<&[u8]>) -> Result<(), DatasetError> {
        let has_labels = !self.labels.is_empty();
        if !self.entries.is_empty() && has_labels != label.is_some() {
            let first = self.entries.number(0);
            let (with, without) = if has_labels { (first, line) } else { (line, first) };
            return Err(error(
                &self.file,
                format!("line {without} has no label, but line {with} has one"),
                "add a label to every line, or to none",
            ));
        }
        self.entries.push(&[path], line);
        if let Some(label) = label {
            let n = self.numbers.len() as u32;
            self.labels.push(*self.numbers.entry(shown(label)).or_insert(n));
        }
        Ok(())
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
        // Only the first path is checked: this finds a wrong folder without a million lookups.
        let first = folder.join(path_of(self.entries.path(0)));
        if !first.exists() {
            return Err(error(
                &self.file,
                format!("line {}: the file {} does not exist", self.entries.number(0), shown_path(&first)),
                "paths are relative to the folder of the list",
            ));
        }
        self.notes.extend(self.repeated());
        let mut names = vec![String::new(); self.numbers.len()];
        self.numbers.into_iter().for_each(|(name, number)| names[number as usize] = name);
        let labels = (!self.labels.is_empty()).then_some(ListedLabels { of_images: self.labels, names });
        let store = Arc::new(Folder { path: folder.clone() });
        let part = Part { place: folder, store, entries: self.entries };
        Ok(List { file: self.file, part, labels, notes: self.notes })
    }

    /// What to say of images that are listed more than once.
    fn repeated(&self) -> Option<String> {
        let mut order: Vec<u32> = (0..self.entries.len() as u32).collect();
        let path = |index: u32| self.entries.path(index as usize);
        order.sort_unstable_by(|&a, &b| path(a).cmp(path(b)).then(a.cmp(&b)));
        let (mut n_repeated, mut n_at_odds, mut first) = (0_usize, 0_usize, u32::MAX);
        for pair in order.windows(2).filter(|pair| path(pair[0]) == path(pair[1])) {
            n_repeated += 1;
            first = first.min(pair[1]);
            let label = |index: u32| self.labels.get(index as usize);
            n_at_odds += usize::from(label(pair[0]) != label(pair[1]));
        }
        let lines =
            if n_repeated == 1 { "1 line repeats".into() } else { format!("{n_repeated} lines repeat") };
        let at_odds =
            if n_at_odds > 0 { format!(", {n_at_odds} of them with another label") } else { String::new() };
        (n_repeated > 0).then(|| {
            let line = self.entries.number(first as usize);
            format!(
                "{lines} an image of another line{at_odds}, and such images count as often as they are listed: line \
                 {line}, {}",
                shown(path(first))
            )
        })
    }
}
