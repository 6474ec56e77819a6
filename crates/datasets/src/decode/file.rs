//! Reads a file whole.

use std::path::Path;

use plugin_api::DecodingScope;

use super::limits::MAX_FILE_BYTES;

/// The bytes of the image file at `path`, which count as part of what decoding it takes.
///
/// # Errors
/// If it is not a regular file, is too large, or cannot be read.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    DecodingScope::count_file(length.min(MAX_FILE_BYTES) as usize);
    read_up_to(path, MAX_FILE_BYTES)
}

/// The bytes of the file at `path`, of which there are at most `limit`.
///
/// # Errors
/// If it is not a regular file, is too large, or cannot be read. A pipe or a device is not opened: it could block, or
/// have no end.
pub(crate) fn read_up_to(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    regular_files::read(path, limit).map_err(|error| error.to_string())
}

/// The first `n_bytes` of the image file at `path`, or all of a shorter one.
///
/// # Errors
/// If it is not a regular file, or cannot be read.
pub(crate) fn read_beginning(path: &Path, n_bytes: usize) -> Result<Vec<u8>, String> {
    regular_files::beginning(path, n_bytes).map_err(|error| error.to_string())
}
