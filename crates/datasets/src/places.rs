//! What is wrong with a place that should have images.

use std::path::Path;

use plugin_api::DatasetError;

use crate::decode::EXTENSIONS;

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
    let hint = notes.iter().map(String::as_str).chain([endings.as_str()]).collect::<Vec<_>>().join("; ");
    error(place, "there are no images in this folder", hint)
}

/// What to do about a path that does not exist.
pub(crate) fn relative_hint(path: &Path) -> String {
    if path.is_absolute() {
        return "check the path".into();
    }
    let here = std::env::current_dir().map(|here| format!(", {}", here.display())).unwrap_or_default();
    format!("a relative path starts at the working directory{here}")
}
