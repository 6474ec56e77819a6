//! Removes runs.

use std::path::{Path, PathBuf};

use run_store::{Holder, Removed, RunFolder, RunFolderError};

use super::listing::is_sweep;

/// A run that is not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// It is one of the runs of a sweep, which counts on it.
    #[error("`{}` belongs to the sweep in `{}`", path.display(), sweep.display())]
    OfASweep {
        /// The run.
        path: PathBuf,
        /// The sweep.
        sweep: PathBuf,
    },
    /// It is no run folder, in use, or cannot be removed.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
}

impl RemoveError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OfASweep { .. } => {
                Some("its table would lose a row; remove the folder of the sweep as a whole".into())
            }
            Self::Folder(error) => error.hint(),
        }
    }
}

/// The run in the folder `path`, if it may be removed. Nothing is changed.
///
/// # Errors
/// If it is no run folder, a link, in use, or one of a sweep.
pub fn removable(path: &Path) -> Result<RunFolder, RemoveError> {
    // A checkpoint names its run, but whoever gives one means it alone.
    if path.is_file() {
        return Err(RunFolderError::NotARun { path: path.into() }.into());
    }
    let run = RunFolder::open(path)?;
    if let Holder::Running(pid) = run.holder()? {
        return Err(RunFolderError::InUse { path: path.into(), pid }.into());
    }
    // A slash at its end would lead through a link.
    if path.components().collect::<PathBuf>().is_symlink() {
        return Err(RunFolderError::Link { path: path.into() }.into());
    }
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match whole.parent() {
        Some(parent) if is_sweep(parent) => {
            Err(RemoveError::OfASweep { path: path.into(), sweep: parent.into() })
        }
        _ => Ok(run),
    }
}

/// Removes the run in the folder `path`: what a run writes, and nothing else, see [`RunFolder::remove`].
///
/// # Errors
/// If it is no run folder, a link, in use, or one of a sweep; or if a file cannot be removed.
pub fn remove(path: &Path) -> Result<Removed, RemoveError> {
    Ok(removable(path)?.remove()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_run_of_its_own_is_not_removed() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        let refused = |path: &Path| remove(path).unwrap_err();
        assert!(refused(run.path()).to_string().contains("not a run folder"));
        run.write_pipeline("()").unwrap();
        let checkpoint = run.checkpoints().join("best.safetensors");
        std::fs::create_dir(run.checkpoints()).unwrap();
        std::fs::write(&checkpoint, "").unwrap();
        assert!(refused(&checkpoint).to_string().contains("not a run folder"));
        let state = root.path().join(sweep::STATE_FILE);
        std::fs::write(&state, "{}").unwrap();
        assert!(matches!(refused(run.path()), RemoveError::OfASweep { .. }));
        std::fs::remove_file(&state).unwrap();
        let lock = run.lock().unwrap();
        assert!(refused(run.path()).to_string().contains("is in use"));
        drop(lock);
        #[cfg(unix)]
        {
            let link = root.path().join("link");
            std::os::unix::fs::symlink(run.path(), &link).unwrap();
            assert!(refused(&link).to_string().ends_with("is a link"));
            assert!(refused(&link.join("")).to_string().ends_with("is a link"));
        }
        assert!(checkpoint.is_file());
        assert_eq!(remove(run.path()).unwrap().left, Vec::<PathBuf>::new());
        assert!(!run.path().exists());
    }
}
