//! Reads a file whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::limits::MAX_FILE_BYTES;

/// The bytes of the file at `path`.
///
/// # Errors
/// If it is not a regular file, is too large, or cannot be read. A pipe or a device is not opened: it could block, or
/// have no end.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".into());
    }
    check(metadata.len())?;
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(metadata.len() as usize).map_err(|_| "there is no memory for the file")?;
    // The file may grow meanwhile.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    check(bytes.len() as u64)?;
    Ok(bytes)
}

fn check(n_bytes: u64) -> Result<(), String> {
    if n_bytes > MAX_FILE_BYTES {
        return Err(format!("the file has {n_bytes} bytes, more than the limit of {MAX_FILE_BYTES}"));
    }
    Ok(())
}
