//! Locks a folder for one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use super::RunFolderError;
use super::own::check_own_file;

/// The name of the file that is locked.
pub(super) const LOCK: &str = "lock";

/// How often a lock is tried for that another process may only be looking at, and how long apart.
const TRIES: usize = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// A lock on a folder. It ends when this is dropped, or when the process ends.
#[derive(Debug)]
pub struct RunLock {
    /// The system holds the lock for as long as the file is open.
    file: File,
}

/// Who has locked a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody; whoever had, gave it back.
    Nobody,
    /// Nobody any more: this process ended without giving the lock back, as one that is killed does.
    Ended(u32),
    /// A process that runs, with its number if that is known.
    Running(Option<u32>),
}

impl RunLock {
    /// Locks `folder` with its file `lock`.
    ///
    /// # Errors
    /// [`RunFolderError::InUse`] if it is already locked, by another process or by this one; and if the file is a link.
    pub fn take(folder: &Path) -> Result<Self, RunFolderError> {
        let path = &folder.join(LOCK);
        check_own_file(path).map_err(RunFolderError::io("open", path))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(RunFolderError::io("open", path))?;
        match try_for_a_while(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(RunFolderError::InUse { path: folder.into(), pid: pid_in(&mut file) });
            }
            // Some network file systems have no locks. A run there is as safe as without this check.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(RunFolderError::io("lock", path)(error)),
        }
        // For the error message of another process.
        let note = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        note(&mut file).map_err(RunFolderError::io("write", path))?;
        Ok(Self { file })
    }

    /// Who has locked `folder`, which is not changed. A file system without locks does not tell of running processes.
    ///
    /// # Errors
    /// If the lock cannot be read.
    pub fn holder(folder: &Path) -> Result<Holder, RunFolderError> {
        let path = &folder.join(LOCK);
        check_own_file(path).map_err(RunFolderError::io("open", path))?;
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holder::Nobody),
            Err(error) => return Err(RunFolderError::io("open", path)(error)),
        };
        let pid = pid_in(&mut file);
        match file.try_lock_shared() {
            Ok(()) => Ok(pid.map_or(Holder::Nobody, Holder::Ended)),
            Err(TryLockError::WouldBlock) => Ok(Holder::Running(pid)),
            Err(TryLockError::Error(_)) => Ok(Holder::Nobody),
        }
    }
}

impl Drop for RunLock {
    /// An empty file says that the lock was given back. One that stays is only a wrong word in a list of runs.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.file.set_len(0);
        }
    }
}

/// [`RunLock::holder`] of another process has the lock for an instant, which is no reason to be refused.
fn try_for_a_while(file: &File) -> Result<(), TryLockError> {
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_TRIES),
            outcome => return outcome,
        }
    }
    file.try_lock()
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_tells_who_has_it_and_whether_it_was_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let holder = || RunLock::holder(folder.path()).unwrap();
        assert_eq!(holder(), Holder::Nobody);
        assert!(!folder.path().join(LOCK).exists(), "a look changes nothing");
        let lock = RunLock::take(folder.path()).unwrap();
        assert_eq!(holder(), Holder::Running(Some(std::process::id())));
        drop(lock);
        assert_eq!(holder(), Holder::Nobody);
        // As a process that is killed leaves it.
        std::fs::write(folder.path().join(LOCK), "4321\n").unwrap();
        assert_eq!(holder(), Holder::Ended(4321));
        RunLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_look_at_a_lock_keeps_nobody_from_taking_it() {
        let folder = tempfile::tempdir().unwrap();
        drop(RunLock::take(folder.path()).unwrap());
        let looking = File::open(folder.path().join(LOCK)).unwrap();
        looking.try_lock_shared().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(BETWEEN_TRIES);
                drop(looking);
            });
            RunLock::take(folder.path()).unwrap();
        });
    }
}
