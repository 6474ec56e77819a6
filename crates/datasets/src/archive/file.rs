//! A file that many threads read at once.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use plugin_api::DecodingScope;
use regular_files::Opened;

use crate::decode::MAX_FILE_BYTES;
use crate::positioned::{buffer, read_exact_at};

/// An open archive.
pub(super) struct SharedFile {
    pub(super) file: File,
    pub(super) n_bytes: u64,
}

impl SharedFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let Opened { file, n_bytes } = regular_files::open(path)?;
        Ok(Self { file, n_bytes })
    }

    /// `n` bytes from place `start`, which are checked against the length of the file before memory is taken for them.
    pub(super) fn read(&self, start: u64, n: u64) -> Result<Vec<u8>, String> {
        if n > MAX_FILE_BYTES {
            return Err(format!("the file has {n} bytes, more than the limit of {MAX_FILE_BYTES}"));
        }
        if start.checked_add(n).is_none_or(|end| end > self.n_bytes) {
            return Err("the archive ends before the image does".into());
        }
        DecodingScope::count_file(n as usize);
        let mut bytes = buffer(n as usize).map_err(|failure| failure.to_string())?;
        read_exact_at(&self.file, &mut bytes, start).map_err(|failure| failure.to_string())?;
        Ok(bytes)
    }
}

/// All of `from`, which should have `n` bytes: memory grows with what comes.
pub(super) fn read_all(from: impl Read, n: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    from.take(n + 1).read_to_end(&mut bytes).map_err(|failure| format!("damaged: {failure}"))?;
    match bytes.len() as u64 == n {
        true => Ok(bytes),
        false => Err(format!("damaged: it should unpack to {n} bytes, and does not")),
    }
}
