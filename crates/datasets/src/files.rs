//! Finds and reads image files, for several datasets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::{ByteImage, DatasetError, Images, UnreadableImage};
use walkdir::{DirEntry, WalkDir};

use crate::decode::{EXTENSIONS, ReadOptions, decode_file, notes, read_file};

/// Image files, and their classes if they have any.
pub(crate) struct FileImages {
    pub(crate) paths: Vec<PathBuf>,
    /// One per path, or empty.
    pub(crate) labels: Option<Vec<u32>>,
    pub(crate) class_names: Arc<[String]>,
    pub(crate) read: ReadOptions,
}

impl Images for FileImages {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref().map(|labels| labels[index])
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self, index: usize) -> String {
        self.paths[index].display().to_string()
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        decode_file(&self.paths[index], &self.read)
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        let path = &self.paths[index];
        read_file(path)
            .map(Some)
            .map_err(|reason| UnreadableImage { name: path.display().to_string(), reason })
    }

    fn notes(&self) -> Vec<String> {
        notes(&self.paths, &self.read)
    }
}

pub(crate) fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// The image files under `folder`, searched recursively and sorted by path.
pub(crate) fn list_images(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    check_folder(folder)?;
    let mut paths = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true).into_iter().filter_entry(is_visible) {
        let entry = entry.map_err(|error| cannot_list(folder, &error))?;
        if entry.file_type().is_file() && has_image_extension(entry.path()) {
            paths.push(entry.into_path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// The folders directly in `folder`, sorted by name.
pub(crate) fn list_folders(folder: &Path) -> Result<Vec<(String, PathBuf)>, DatasetError> {
    check_folder(folder)?;
    let mut folders = Vec::new();
    let walk = WalkDir::new(folder).follow_links(true).min_depth(1).max_depth(1);
    for entry in walk.into_iter().filter_entry(is_visible) {
        let entry = entry.map_err(|error| cannot_list(folder, &error))?;
        if entry.file_type().is_dir() {
            folders.push((entry.file_name().to_string_lossy().into_owned(), entry.into_path()));
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

pub(crate) fn check_folder(folder: &Path) -> Result<(), DatasetError> {
    if folder.is_dir() {
        return Ok(());
    }
    let (reason, hint) = if folder.exists() {
        ("this is a file, not a folder", "give the folder with the images".to_owned())
    } else {
        ("the folder does not exist", relative_hint(folder))
    };
    Err(error(folder, reason, hint))
}

pub(crate) fn no_images(folder: &Path) -> DatasetError {
    let extensions = EXTENSIONS.join(", ");
    error(folder, "there are no images in this folder", format!("supported extensions: {extensions}"))
}

/// What to do about a path that does not exist.
pub(crate) fn relative_hint(path: &Path) -> String {
    if path.is_absolute() {
        return "check the path".into();
    }
    let here = std::env::current_dir().map(|here| format!(", {}", here.display())).unwrap_or_default();
    format!("a relative path starts at the working directory{here}")
}

pub(crate) fn error(path: &Path, reason: impl Into<String>, hint: impl Into<String>) -> DatasetError {
    DatasetError { path: path.to_owned(), reason: reason.into(), hint: hint.into() }
}

/// Hidden files are thumbnails, indexes and the like. The folder itself may be hidden.
fn is_visible(entry: &DirEntry) -> bool {
    entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn cannot_list(folder: &Path, failure: &walkdir::Error) -> DatasetError {
    let hint = match failure.loop_ancestor() {
        Some(_) => "a link leads back to a folder above it: remove it",
        None => "check that it can be read, and remove broken links",
    };
    error(failure.path().unwrap_or(folder), format!("it cannot be listed: {failure}"), hint)
}
