//! Files that are written completely or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::{NamedTempFile, TempPath};

/// The extension of temporary files.
pub(crate) const PARTIAL: &str = ".partial";

/// How temporary folders begin.
pub(crate) const PARTIAL_FOLDER: &str = ".partial-";

/// What is being written where files cannot be locked counts as left over after this time.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// Held by whoever writes a file or a folder, until it is whole and has its name. Who writes the files of a folder holds it twice,
/// so nobody may wait for it in `write`.
static WRITING: RwLock<()> = RwLock::new(());

/// Nothing is being written while this is held.
pub type Quiet = RwLockWriteGuard<'static, ()>;

/// Waits until what is being written is whole, for `limit` at the most, so that a program that ends while it has what is returned
/// leaves no half of it; `None` if that takes longer.
pub fn let_writes_end(limit: Duration) -> Option<Quiet> {
    const PAUSE: Duration = Duration::from_millis(5);
    let began = Instant::now();
    loop {
        match WRITING.try_write() {
            Ok(quiet) => return Some(quiet),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if began.elapsed() > limit => return None,
            // Whoever waited for the lock would keep others from beginning a second file of what they write.
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
        }
    }
}

fn writing() -> RwLockReadGuard<'static, ()> {
    WRITING.read().unwrap_or_else(PoisonError::into_inner)
}

/// What writes the contents of a file.
pub type Fill<'a> = Box<dyn FnOnce(&mut File) -> io::Result<()> + 'a>;

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be written: {source}", path.display())]
pub struct NotWritten {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl NotWritten {
    fn new(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { path: path.into(), source }
    }
}

/// Writes `path` with `fill`. If the process is killed, the old file or the new one is complete.
///
/// The file is written under another name in the same folder, synced to disk and renamed, and the rename is synced
/// before this returns.
///
/// # Errors
/// If it cannot be written, or `fill` fails. The old file is then unchanged.
pub fn write_whole(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let _writing = writing();
    filled(path, fill)?.persist(path).map_err(|error| error.error)?;
    sync_folder(folder_of(path))
}

/// As [`write_whole`], for a file that must not be there yet.
///
/// # Errors
/// As [`write_whole`], and [`io::ErrorKind::AlreadyExists`].
pub fn write_new(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let _writing = writing();
    filled(path, fill)?.persist_noclobber(path).map_err(|error| error.error)?;
    sync_folder(folder_of(path))
}

/// Writes files that belong together: none takes its name before all have their contents, and if one cannot take it, those
/// before it are as they were. The first takes its name last, so that it is the one to look for.
///
/// # Errors
/// If one cannot be written. All old files are then unchanged.
pub fn write_together<'a>(files: Vec<(&'a Path, Fill<'a>)>) -> Result<(), NotWritten> {
    let _writing = writing();
    let written = files
        .into_iter()
        .map(|(path, fill)| Ok((path, filled(path, fill).map_err(NotWritten::new(path))?)))
        .collect::<Result<Vec<_>, NotWritten>>()?;
    let mut done: Vec<(&Path, Old)> = Vec::new();
    for (path, file) in written.into_iter().rev() {
        let named = Old::of(path).and_then(|old| {
            file.persist(path).map_err(|error| error.error)?;
            Ok(old)
        });
        match named {
            Ok(old) => done.push((path, old)),
            Err(error) => {
                done.into_iter().rev().for_each(|(path, old)| old.give_back(path));
                return Err(NotWritten::new(path)(error));
            }
        }
    }
    for (path, _) in &done {
        sync_folder(folder_of(path)).map_err(NotWritten::new(path))?;
    }
    Ok(())
}

/// What had a name before a new file took it.
enum Old {
    Nothing,
    /// The file under a second name, which goes with this.
    Kept(TempPath),
    /// A file on a system that gives files one name only.
    Lost,
}

impl Old {
    fn of(path: &Path) -> io::Result<Self> {
        let link = |second: &Path| fs::hard_link(path, second);
        match tempfile::Builder::new().prefix(".").suffix(PARTIAL).make_in(folder_of(path), link) {
            Ok(second) => Ok(Self::Kept(second.into_temp_path())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Nothing),
            Err(_) if path.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Err(_) => Ok(Self::Lost),
        }
    }

    /// The error that led here is the one to tell.
    fn give_back(self, path: &Path) {
        match self {
            Self::Nothing => drop(fs::remove_file(path)),
            Self::Kept(second) => drop(second.persist(path)),
            Self::Lost => {}
        }
    }
}

/// A temporary file beside `path` with its contents, on the disk.
fn filled(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(PARTIAL);
    // As for any other file; temporary files would be private to their owner.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.tempfile_in(folder_of(path))?;
    // For as long as this process lives, so that it is known to be no leftover. Some file systems have no locks.
    let _ = temporary.as_file().try_lock_shared();
    fill(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    Ok(temporary)
}

/// Whether a file that was being written has this name.
pub(super) fn is_partial(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(PARTIAL)
}

/// Removes temporary files and folders that killed processes left in `folder`. Those that others are writing stay.
pub(crate) fn remove_partial(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let (name, kind) = (name.to_string_lossy(), entry.file_type()?);
        let removed = if kind.is_file() && is_partial(&name) && is_left_over(&path) {
            fs::remove_file(path)
        } else if kind.is_dir() && name.starts_with(PARTIAL_FOLDER) && is_left_over(&path) {
            fs::remove_dir_all(path)
        } else {
            continue;
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether no process is writing what lies at `path`: the one that does has locked it.
fn is_left_over(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    match file.try_lock() {
        Ok(()) => true,
        Err(fs::TryLockError::WouldBlock) => false,
        Err(fs::TryLockError::Error(_)) => {
            let written = file.metadata().and_then(|metadata| metadata.modified()).ok();
            written.and_then(|at| at.elapsed().ok()).is_some_and(|since| since > LONG)
        }
    }
}

/// A temporary folder that is being filled.
#[derive(Debug)]
pub struct Held {
    /// `None` where the system locks no folders.
    _folder: Option<File>,
    _writing: RwLockReadGuard<'static, ()>,
}

/// Locks a temporary folder for as long as what is returned lives, so that it is known to be no leftover. A program that is
/// stopped waits for it, see [`let_writes_end`].
pub fn hold(folder: &Path) -> Held {
    let open = File::open(folder).ok().filter(|open| open.try_lock_shared().is_ok());
    Held { _folder: open, _writing: writing() }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems do not open folders as files, and sync renames themselves.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn fill(text: &str) -> Fill<'_> {
        Box::new(move |file| file.write_all(text.as_bytes()))
    }

    fn n_files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_whole(&path, |file| file.write_all(b"old")).unwrap();
        let outcome = write_whole(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(outcome.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(n_files(folder.path()), 1);
    }

    #[test]
    fn a_new_file_takes_no_name_that_is_taken_and_is_not_there_by_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(write_new(&path, |_| Err(io::Error::other("the disk is full"))).is_err());
        assert_eq!(n_files(folder.path()), 0);
        write_new(&path, |file| file.write_all(b"first")).unwrap();
        let error = write_new(&path, |file| file.write_all(b"second")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), n_files(folder.path())), (b"first".to_vec(), 1));
    }

    #[test]
    fn files_that_belong_together_are_all_new_or_all_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        write_together(vec![(a.as_path(), fill("a1")), (b.as_path(), fill("b1"))]).unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!((read(&a), read(&b)), ("a1".into(), "b1".into()));
        // The contents of one cannot be written, whichever it is.
        let full: fn() -> Fill<'static> = || Box::new(|_| Err(io::Error::other("the disk is full")));
        for files in [
            vec![(a.as_path(), fill("a2")), (b.as_path(), full()), (c.as_path(), fill("c2"))],
            vec![(a.as_path(), full()), (b.as_path(), fill("b2")), (c.as_path(), fill("c2"))],
        ] {
            let error = write_together(files).unwrap_err();
            assert!(error.to_string().ends_with("cannot be written: the disk is full"), "{error}");
        }
        assert_eq!((read(&a), read(&b), n_files(folder.path())), ("a1".into(), "b1".into(), 2));
        // One cannot take its name, after others have taken theirs.
        fs::remove_file(&a).unwrap();
        fs::create_dir(&a).unwrap();
        let error = write_together(vec![
            (a.as_path(), fill("a3")),
            (b.as_path(), fill("b3")),
            (c.as_path(), fill("c3")),
        ])
        .unwrap_err();
        assert_eq!(error.path, a);
        assert_eq!((read(&b), n_files(folder.path())), ("b1".into(), 2), "nor is `c` there");
        fs::remove_dir(&a).unwrap();
        write_together(vec![(a.as_path(), fill("a4")), (b.as_path(), fill("b4"))]).unwrap();
        assert_eq!((read(&a), read(&b), n_files(folder.path())), ("a4".into(), "b4".into(), 2));
    }

    #[test]
    fn what_a_kill_has_left_is_removed_and_what_is_being_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".abc.partial"), "half").unwrap();
        fs::create_dir(folder.path().join(".partial-abc")).unwrap();
        fs::write(folder.path().join(".partial-abc/a.png"), "half").unwrap();
        fs::write(folder.path().join("kept"), "whole").unwrap();
        write_whole(&folder.path().join("new"), |_| remove_partial(folder.path())).unwrap();
        assert_eq!(n_files(folder.path()), 2);
        let begun = folder.path().join(".partial-def");
        fs::create_dir(&begun).unwrap();
        let held = hold(&begun);
        remove_partial(folder.path()).unwrap();
        assert_eq!(begun.exists(), held._folder.is_some());
        drop(held);
        remove_partial(folder.path()).unwrap();
        assert!(!begun.exists());
    }

    /// Other tests of this process write too, which end soon.
    #[test]
    fn a_stop_waits_for_what_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (begins, begun) = std::sync::mpsc::channel();
        let (ends, end) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            let path = &path;
            scope.spawn(move || {
                write_whole(path, |file| {
                    begins.send(()).unwrap();
                    end.recv().unwrap();
                    file.write_all(b"whole")
                })
            });
            begun.recv().unwrap();
            assert!(let_writes_end(Duration::ZERO).is_none());
            ends.send(()).unwrap();
            let quiet = let_writes_end(Duration::from_secs(60)).unwrap();
            assert_eq!(fs::read(path).unwrap(), b"whole");
            drop(quiet);
        });
    }
}
