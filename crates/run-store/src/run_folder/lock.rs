//! One process a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::RunFolderError;

/// The right to work in a folder. It ends when this is dropped, and when the process is killed.
#[derive(Debug)]
pub struct RunLock {
    /// The system holds the lock for as long as the file is open.
    _file: File,
}

impl RunLock {
    /// Takes the lock of `folder`, which lies in its file `lock`.
    ///
    /// # Errors
    /// [`RunFolderError::InUse`] if another process, or another part of this one, has it.
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
            // Some network file systems have no locks; a run there is not worse off than without this check.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(RunFolderError::io("lock", path)(error)),
        }
        // For the message that another process would show.
        let note = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        note(&mut file).map_err(RunFolderError::io("write", path))?;
        Ok(Self { _file: file })
    }
}
