//! A place of images: a folder, or an archive that is read as if it was unpacked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::DatasetError;

use crate::archive;
use crate::decode::read_file;
use crate::images::Part;
use crate::listing::{
    Entries, PassedOver, Patterns, SEPARATOR, Top, Walked, bytes_of, path_of, shown_path, split_first, walk,
    walk_top,
};
use crate::overlap::plain;
use crate::places::{check_folder, error, no_images};
use crate::split_names::{folders_of_splits, is_of_split, splits_of_entries};
use crate::store;

/// A place that is there.
pub(crate) enum Root {
    Folder(PathBuf),
    /// Its images, with paths below the place.
    Archive {
        part: Part,
        /// Its other files.
        others: Entries,
        notes: Vec<String>,
    },
}

/// What is below a place.
pub(crate) struct Found {
    /// Its images, sorted by path.
    pub(crate) part: Part,
    /// The names of the folders directly in it, sorted.
    pub(crate) top_folders: Vec<Vec<u8>>,
    passed: PassedOver,
}

impl Root {
    /// # Errors
    /// If `path` is neither a folder nor an archive.
    pub(crate) fn open(path: &Path, patterns: &Patterns) -> Result<Self, DatasetError> {
        if !archive::is_archive_file(path) {
            check_folder(path)?;
            return Ok(Self::Folder(path.to_owned()));
        }
        let mut archive = archive::open(path, patterns)?;
        archive.others.paths().for_each(|path| archive.passed.add_file(path));
        let mut notes = archive.notes;
        notes.extend(archive.passed.notes(&shown_path(path)));
        Ok(Self::Archive { part: archive.part, others: archive.others, notes })
    }

    /// The bytes of the file `path` in it, which is no image.
    ///
    /// # Errors
    /// If there is none, or it cannot be read: why, in a few words.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match self {
            Self::Folder(root) => read_file(&root.join(path)),
            Self::Archive { part, others, .. } => {
                let found = (0..others.len()).find(|&index| others.path(index) == path.as_bytes());
                let index = found.ok_or("there is no such file in the archive")?;
                part.store.read(others.path(index), others.number(index))
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) => path,
            Self::Archive { part, .. } => &part.place,
        }
    }

    /// What is odd about an archive, one sentence each.
    pub(crate) fn notes(&self) -> &[String] {
        match self {
            Self::Folder(_) => &[],
            Self::Archive { notes, .. } => notes,
        }
    }

    /// An archive often has one folder around all others: that folder, unless it is called as that of a split.
    pub(crate) fn inner(self) -> Self {
        let Self::Archive { mut part, mut others, notes } = self else { return self };
        loop {
            let Some((first, _)) = part.entries.paths().next().and_then(split_first) else { break };
            let first = first.to_vec();
            let is_around = |path| {
                split_first(path).is_some_and(|(folder, rest)| folder == first && split_first(rest).is_some())
            };
            if is_of_split(&first) || !part.entries.paths().all(is_around) {
                break;
            }
            part.entries = part.entries.below(&first);
            others = others.below(&first);
            part.place = part.place.join(path_of(&first));
        }
        Self::Archive { part, others, notes }
    }

    /// Whether `folder` is in it.
    pub(crate) fn has(&self, folder: &Path) -> bool {
        match self {
            Self::Folder(path) => path.join(folder).is_dir(),
            Self::Archive { part, .. } => !below(part, folder).entries.is_empty(),
        }
    }

    /// The names of the folders directly in it that hold a split.
    pub(crate) fn splits(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Folder(path) => folders_of_splits(path),
            Self::Archive { part, .. } => splits_of_entries(&part.entries),
        }
    }

    /// What is directly in it, sorted.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub(crate) fn top(&self, patterns: &Patterns) -> Result<Top, DatasetError> {
        match self {
            Self::Folder(path) => walk_top(path, patterns),
            Self::Archive { part, .. } => {
                let loose = part.entries.paths().filter(|path| split_first(path).is_none());
                Ok(Top { folders: top_folders(part), images: loose.map(<[u8]>::to_vec).collect() })
            }
        }
    }

    /// What is below it, or below its folder `folder`, but for what `patterns` leave out.
    ///
    /// # Errors
    /// If there is no such folder, or it cannot be listed.
    pub(crate) fn list(&self, folder: Option<&Path>, patterns: &Patterns) -> Result<Found, DatasetError> {
        match self {
            Self::Folder(path) => {
                let place = match folder.map(plain).filter(|folder| !folder.as_os_str().is_empty()) {
                    Some(folder) => path.join(folder),
                    None => path.clone(),
                };
                check_folder(&place)?;
                let Walked { entries, top_folders, passed, .. } = walk(&place, &patterns.below(folder))?;
                let store = Arc::new(store::Folder { path: place.clone() });
                Ok(Found { part: Part { place, store, entries }, top_folders, passed })
            }
            Self::Archive { part, .. } => {
                let part = folder.map_or_else(|| part.clone(), |folder| below(part, folder));
                if part.entries.is_empty() && folder.is_some() {
                    return Err(error(
                        &part.place,
                        "there are no images in this folder of the archive",
                        "check the name",
                    ));
                }
                Ok(Found { top_folders: top_folders(&part), part, passed: PassedOver::default() })
            }
        }
    }
}

/// What is below `folder` in an archive.
fn below(part: &Part, folder: &Path) -> Part {
    let is_name = |part: &std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
    let names = folder.components().filter(is_name);
    let entries = names.fold(part.entries.clone(), |entries, name| {
        bytes_of(name.as_os_str()).map(|name| entries.below(name)).unwrap_or_default()
    });
    Part { place: part.place.join(folder), store: Arc::clone(&part.store), entries }
}

fn top_folders(part: &Part) -> Vec<Vec<u8>> {
    let folders = part.entries.paths().filter_map(|path| split_first(path).map(|(folder, _)| folder));
    folders.collect::<BTreeSet<_>>().into_iter().map(<[u8]>::to_vec).collect()
}

impl Found {
    /// Leaves out what is in `folders`, whose paths start at the place. Returns how many images these were.
    pub(crate) fn leave_out(&mut self, folders: &[Vec<u8>]) -> usize {
        if folders.is_empty() {
            return 0;
        }
        let is_in = |path: &[u8]| {
            folders.iter().any(|folder| {
                path.strip_prefix(&folder[..]).is_some_and(|rest| rest.first() == Some(&SEPARATOR))
            })
        };
        let n = self.part.entries.len();
        self.part.entries = self.part.entries.filtered(|path| !is_in(path));
        self.top_folders.retain(|top| !folders.contains(top));
        n - self.part.entries.len()
    }

    /// Whether an image is in one of its folders.
    pub(crate) fn has_classes(&self) -> bool {
        self.part.entries.paths().any(|path| split_first(path).is_some())
    }

    /// That it has no image and is left out, where others have some; with what was passed over.
    pub(crate) fn notes_if_empty(&self) -> Vec<String> {
        let mut notes = self.notes();
        notes
            .push(format!("{}: there are no images in it, and it is left out", shown_path(&self.part.place)));
        notes
    }

    /// What was passed over, one sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.passed.notes(&shown_path(&self.part.place))
    }

    /// # Errors
    /// If there is no image.
    pub(crate) fn check_not_empty(&self) -> Result<(), DatasetError> {
        if self.part.entries.is_empty() { Err(self.no_images([])) } else { Ok(()) }
    }

    /// That there is no image, with what was passed over and what else is to be told.
    pub(crate) fn no_images(&self, told: impl IntoIterator<Item = String>) -> DatasetError {
        let notes: Vec<String> = self.notes().into_iter().chain(told).collect();
        no_images(&self.part.place, &notes)
    }
}
