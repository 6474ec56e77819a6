//! What is wrong with a place that should have images.

use std::path::{Path, PathBuf};

use plugin_api::DatasetError;

use crate::decode::{EXTENSIONS, begins_like_image};
use crate::listing::{bytes_of, ending_of, shown_path};

/// Bytes that tell images from other files.
const N_BYTES_LOOKED_AT: usize = 32;

pub(crate) fn error(path: &Path, reason: impl Into<String>, hint: impl Into<String>) -> DatasetError {
    DatasetError { path: path.to_owned(), reason: reason.into(), hint: hint.into() }
}

pub(crate) fn check_folder(folder: &Path) -> Result<(), DatasetError> {
    if folder.is_dir() {
        return Ok(());
    }
    let (reason, hint) = if folder.exists() {
        (
            "this is a file, not a folder",
            "give the folder with the images, or a .zip or .tar file with them".to_owned(),
        )
    } else {
        ("the folder does not exist", relative_hint(folder))
    };
    Err(error(folder, reason, hint))
}

/// For a place without images, in which `notes` tell what was passed over.
pub(crate) fn no_images(place: &Path, notes: &[String]) -> DatasetError {
    let endings = format!("files that end in {} are images", EXTENSIONS.join(", "));
    let parts = notes.iter().map(String::as_str).chain([endings.as_str()]);
    let unnamed = images_without_ending(place);
    let hint = unnamed.iter().map(String::as_str).chain(parts).collect::<Vec<_>>().join("; ");
    let what = if place.is_file() { "archive" } else { "folder" };
    error(place, format!("there are no images in this {what}"), hint)
}

/// Files without an ending that are looked into.
const N_LOOKED_INTO: usize = 16;
/// Entries of folders, until these are found.
const N_ENTRIES: usize = 4096;

/// That files below `folder` begin like images and have no ending that says so, if some do.
fn images_without_ending(folder: &Path) -> Option<String> {
    let (mut folders, mut n_entries) = (vec![folder.to_owned()], 0);
    let (mut n_looked_into, mut n_images) = (0, 0);
    while let Some(folder) = folders.pop() {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .take(N_ENTRIES - n_entries)
            .map(|entry| entry.path())
            .collect();
        n_entries += paths.len();
        paths.sort_unstable();
        for path in paths {
            if n_looked_into == N_LOOKED_INTO {
                break;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().and_then(bytes_of).is_some_and(|name| ending_of(name).is_empty()) {
                let start = regular_files::beginning(&path, N_BYTES_LOOKED_AT).unwrap_or_default();
                n_looked_into += 1;
                n_images += usize::from(begins_like_image(&start));
            }
        }
    }
    (n_images > 0).then(|| {
        format!(
            "{n_images} of {n_looked_into} files without an ending that were looked at begin like images: name them in a \
             list, `find {} -type f > list.txt`, which is read whatever they end in",
            shown_path(folder)
        )
    })
}

/// What to do about a path that does not exist.
pub(crate) fn relative_hint(path: &Path) -> String {
    if path.is_absolute() {
        return "check the path".into();
    }
    let here = std::env::current_dir().map(|here| format!(", {}", here.display())).unwrap_or_default();
    format!("a relative path starts at the working directory{here}")
}
