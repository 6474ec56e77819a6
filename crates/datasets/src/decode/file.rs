//! Reads a file whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::limits::MAX_FILE_BYTES;

/// The bytes of the image file at `path`.
///
/// # Errors
/// If it is not a regular file, is too large, or cannot be read.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    read_up_to(path, MAX_FILE_BYTES)
}

/// The bytes of the file at `path`, of which there are at most `limit`.
///
/// # Errors
/// If it is not a regular file, is too large, or cannot be read. A pipe or a device is not opened: it could block, or
/// have no end.
pub(crate) fn read_up_to(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".into());
    }
    check(metadata.len(), limit)?;
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(metadata.len() as usize).map_err(|_| "there is no memory for the file")?;
    // The file may grow meanwhile.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    check(bytes.len() as u64, limit)?;
    Ok(bytes)
}

/// The first `n_bytes` of the image file at `path`, or all of a shorter one.
///
/// # Errors
/// If it is not a regular file, or cannot be read.
pub(crate) fn read_beginning(path: &Path, n_bytes: usize) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".into());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(n_bytes as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn check(n_bytes: u64, limit: u64) -> Result<(), String> {
    if n_bytes > limit {
        return Err(format!("the file has {n_bytes} bytes, more than the limit of {limit}"));
    }
    Ok(())
}
