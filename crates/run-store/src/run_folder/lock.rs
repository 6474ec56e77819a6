//! Locks a folder for one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::RunFolderError;

/// A lock on a folder. It ends when this is dropped, or when the process ends.
#[derive(Debug)]
pub struct RunLock {
    /// The system holds the lock for as long as the file is open.
    _file: File,
}

impl RunLock {
    /// Whether a process has locked `folder`, this one included. `false` where the file system has no locks.
    pub fn is_held(folder: &Path) -> bool {
        let Ok(file) = File::open(folder.join("lock")) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Locks `folder` with its file `lock`.
    ///
    /// # Errors
    /// [`RunFolderError::InUse`] if it is already locked, by another process or by this one.
    pub fn take(folder: &Path) -> Result<Self, RunFolderError> {
        let path = &folder.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(RunFolderError::io("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(RunFolderError::InUse { path: folder.into(), pid });
            }
            // Some network file systems have no locks. A run there is as safe as without this check.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(RunFolderError::io("lock", path)(error)),
        }
        // For the error message of another process.
        let note = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        note(&mut file).map_err(RunFolderError::io("write", path))?;
        Ok(Self { _file: file })
    }
}
