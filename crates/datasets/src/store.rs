//! Where the bytes of image files are.

use std::path::PathBuf;

use crate::decode::read_file;
use crate::listing::path_of;

/// A folder, or whatever else has files in it. Many threads read from it at once.
pub(crate) trait Store: Send + Sync {
    /// The bytes of the file `path`, which has `number` in the listing of this store.
    ///
    /// # Errors
    /// If it cannot be read: why, in a few words.
    fn read(&self, path: &[u8], number: u32) -> Result<Vec<u8>, String>;
}

/// The files of a folder.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Store for Folder {
    fn read(&self, path: &[u8], _number: u32) -> Result<Vec<u8>, String> {
        read_file(&self.path.join(path_of(path)))
    }
}
