//! Where the bytes of image files are.

use std::path::PathBuf;

use crate::decode::{read_beginning, read_file};
use crate::listing::path_of;

/// A folder, or whatever else has files in it. Many threads read from it at once.
pub(crate) trait Store: Send + Sync {
    /// The bytes of the file `path`, which has `number` in the listing of this store.
    ///
    /// # Errors
    /// If it cannot be read: why, in a few words.
    fn read(&self, path: &[u8], number: u32) -> Result<Vec<u8>, String>;

    /// The first `n_bytes` of the file, or more.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_beginning(&self, path: &[u8], number: u32, n_bytes: usize) -> Result<Vec<u8>, String> {
        let _ = n_bytes;
        self.read(path, number)
    }
}

/// The files of a folder.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Store for Folder {
    fn read(&self, path: &[u8], _number: u32) -> Result<Vec<u8>, String> {
        read_file(&self.path.join(path_of(path)))
    }

    fn read_beginning(&self, path: &[u8], _number: u32, n_bytes: usize) -> Result<Vec<u8>, String> {
        read_beginning(&self.path.join(path_of(path)), n_bytes)
    }
}
