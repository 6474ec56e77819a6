//! Folders for the results of an evaluation, written whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::own::check_own_folder;
use super::whole_file::{PARTIAL_FOLDER, hold, remove_partial};
use super::{RunFolder, RunFolderError};
use crate::disk::check_writable;

const WRITE: &str = "write in";

/// A folder for the results of an evaluation, which is not yet written.
pub struct ResultFolder {
    parent: PathBuf,
    name: Name,
}

enum Name {
    /// Its next free number.
    Numbered(&'static str),
    /// Exactly this name.
    Asked(PathBuf),
}

impl ResultFolder {
    /// The folder `asked`, or the next number of `name` in the run's `evaluations`. It is checked before any work, so
    /// no result is lost.
    ///
    /// # Errors
    /// If the folder cannot be written, or `asked` exists.
    pub fn new(run: &RunFolder, name: &'static str, asked: Option<&Path>) -> Result<Self, RunFolderError> {
        let folder = match asked {
            Some(path) if path.exists() => return Err(already_exists(path)),
            Some(path) => Self {
                parent: match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
                    _ => ".".into(),
                },
                name: Name::Asked(path.into()),
            },
            None => Self { parent: run.evaluations(), name: Name::Numbered(name) },
        };
        if asked.is_none() {
            check_own_folder(&folder.parent).map_err(RunFolderError::io(WRITE, &folder.parent))?;
        }
        fs::create_dir_all(&folder.parent)
            .and_then(|()| check_writable(&folder.parent))
            .and_then(|()| if asked.is_none() { remove_partial(&folder.parent) } else { Ok(()) })
            .map_err(RunFolderError::io(WRITE, &folder.parent))?;
        Ok(folder)
    }

    /// Writes `files`, by name, and returns the folder.
    ///
    /// # Errors
    /// If they cannot be written. Then there is no folder.
    pub fn write(self, files: &[(&str, Vec<u8>)]) -> Result<PathBuf, RunFolderError> {
        let failed = |error| RunFolderError::io(WRITE, &self.parent)(error);
        let partial =
            tempfile::Builder::new().prefix(PARTIAL_FOLDER).tempdir_in(&self.parent).map_err(failed)?;
        let _held = hold(partial.path());
        for (name, bytes) in files {
            fs::write(partial.path().join(name), bytes).map_err(failed)?;
        }
        open_to_all(partial.path()).map_err(failed)?;
        let path = match &self.name {
            // A rename would go over an empty folder.
            Name::Asked(path) if path.exists() => return Err(already_exists(path)),
            Name::Asked(path) => {
                fs::rename(partial.path(), path).map_err(failed)?;
                path.clone()
            }
            Name::Numbered(name) => {
                let mut number = 1;
                loop {
                    let path = self.parent.join(format!("{name}-{number:03}"));
                    if !path.exists() {
                        match fs::rename(partial.path(), &path) {
                            Ok(()) => break path,
                            // Another process was faster.
                            Err(_) if path.exists() => {}
                            Err(error) => return Err(failed(error)),
                        }
                    }
                    number += 1;
                }
            }
        };
        // It is no longer where it was.
        let _ = partial.keep();
        Ok(path)
    }
}

/// A temporary folder is private to its owner, but a result should not be.
#[cfg(unix)]
fn open_to_all(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) -> io::Result<()> {
    Ok(())
}

fn already_exists(path: &Path) -> RunFolderError {
    RunFolderError::AlreadyExists { path: path.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_has_a_folder_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        let write = |text: &str| {
            let folder = ResultFolder::new(&run, "linear", None).unwrap();
            folder.write(&[("result.json", text.into())]).unwrap()
        };
        let (first, second) = (write("1"), write("2"));
        assert!(first.ends_with("evaluations/linear-001") && second.ends_with("evaluations/linear-002"));
        assert_eq!(fs::read_to_string(first.join("result.json")).unwrap(), "1");
        assert_eq!(fs::read_dir(run.path().join("evaluations")).unwrap().count(), 2, "nothing half is left");
    }

    #[test]
    fn a_folder_that_is_there_is_refused_before_any_work() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        let asked = root.path().join("result");
        let new = || ResultFolder::new(&run, "linear", Some(&asked));
        new().unwrap().write(&[("a", Vec::new())]).unwrap();
        assert!(new().err().unwrap().to_string().contains("already exists"));
        let file = asked.join("a/below-a-file");
        let error = ResultFolder::new(&run, "linear", Some(&file)).err().unwrap().to_string();
        assert!(error.starts_with("cannot write in"), "{error}");
    }
}
