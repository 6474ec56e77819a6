//! A place of images: a folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::DatasetError;

use crate::images::Part;
use crate::listing::{PassedOver, Patterns, SEPARATOR, Top, Walked, bytes_of, shown_path, walk, walk_top};
use crate::places::{check_folder, no_images};
use crate::store;

/// A folder that is there.
pub(crate) struct Root {
    path: PathBuf,
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
    /// If `path` is no folder.
    pub(crate) fn open(path: &Path) -> Result<Self, DatasetError> {
        check_folder(path)?;
        Ok(Self { path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `folder` is in it.
    pub(crate) fn has(&self, folder: &Path) -> bool {
        self.path.join(folder).is_dir()
    }

    /// What is directly in it, sorted.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub(crate) fn top(&self, patterns: &Patterns) -> Result<Top, DatasetError> {
        walk_top(&self.path, patterns)
    }

    /// What is below it, or below its folder `below`, but for what `patterns` leave out.
    ///
    /// # Errors
    /// If there is no such folder, or it cannot be listed.
    pub(crate) fn list(&self, below: Option<&Path>, patterns: &Patterns) -> Result<Found, DatasetError> {
        let place = below.map_or_else(|| self.path.clone(), |below| self.path.join(below));
        check_folder(&place)?;
        let Walked { entries, top_folders, passed, .. } = walk(&place, patterns)?;
        let store = Arc::new(store::Folder { path: place.clone() });
        Ok(Found { part: Part { place, store, entries }, top_folders, passed })
    }
}

impl Found {
    /// Leaves out what is in `folder`.
    pub(crate) fn leave_out(&mut self, folder: &Path) {
        let Some(name) = bytes_of(folder.as_os_str()) else { return };
        let is_in =
            |path: &[u8]| path.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&SEPARATOR));
        self.part.entries = self.part.entries.filtered(|path| !is_in(path));
        self.top_folders.retain(|top| top != name);
    }

    /// What was passed over, one sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.passed.notes(&shown_path(&self.part.place))
    }

    /// # Errors
    /// If there is no image.
    pub(crate) fn check_not_empty(&self) -> Result<(), DatasetError> {
        if !self.part.entries.is_empty() {
            return Ok(());
        }
        Err(no_images(&self.part.place, &self.notes()))
    }
}
