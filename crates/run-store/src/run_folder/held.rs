//! Knows a folder again, whatever has been put in its place.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A folder that is held open, so that it can be told from another one that has got its name meanwhile.
#[derive(Debug)]
pub struct HeldFolder {
    path: PathBuf,
    /// While it is open, the system gives its number to no other. `None` where a folder cannot be opened, as on Windows, which
    /// does not rename one that is in use.
    folder: Option<File>,
}

impl HeldFolder {
    /// Holds the folder at `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into(), folder: File::open(path).ok() }
    }

    /// Whether it is still at its path. Where that cannot be told, it is.
    pub fn is_in_place(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(there) if there.is_dir() => self.folder.as_ref().is_none_or(|held| is_same(held, &there)),
            Ok(_) => false,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

#[cfg(unix)]
fn is_same(held: &File, there: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    held.metadata().map_or(true, |held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
}

#[cfg(not(unix))]
fn is_same(_: &File, _: &std::fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_told_from_one_that_got_its_name() {
        let root = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (root.path().join("run"), root.path().join("kept"));
        std::fs::create_dir(&path).unwrap();
        let held = HeldFolder::new(&path);
        std::fs::write(path.join("file"), "a change inside of it").unwrap();
        assert!(held.is_in_place());
        std::fs::rename(&path, &elsewhere).unwrap();
        assert!(!held.is_in_place());
        std::fs::create_dir(&path).unwrap();
        assert_eq!(held.is_in_place(), cfg!(not(unix)));
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&elsewhere, &path).unwrap();
        assert!(held.is_in_place());
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(held.is_in_place(), cfg!(not(unix)));
    }
}
