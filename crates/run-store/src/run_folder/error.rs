//! Why a run folder cannot be used.

use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a run folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunFolderError {
    /// The folder that was asked for holds something.
    #[error("folder `{}` is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The place that was asked for is a file.
    #[error("`{}` is a file, and a folder is needed", path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// There is no run in the folder.
    #[error("`{}` is not the folder of a run: it has no `pipeline.ron`", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Another process trains in the folder.
    #[error("folder `{}` is in use{}", path.display(), by(*pid))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process, if it is known.
        pid: Option<u32>,
    },
    /// The system refuses.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl RunFolderError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotEmpty { path } => Some(format!(
                "choose a new folder, or go on with the run in this one: `--resume {}`",
                path.display()
            )),
            Self::NotAFolder { .. } => Some("choose another place".into()),
            Self::NotARun { .. } => {
                Some("give the folder that a run has written, or a checkpoint in it".into())
            }
            Self::InUse { .. } => {
                Some("wait for the other run to end, or start this one in a folder of its own".into())
            }
            Self::Io { source, .. } => out_of_space(source),
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }
}

fn out_of_space(error: &io::Error) -> Option<String> {
    (error.kind() == io::ErrorKind::StorageFull).then(|| "free some space on this disk".into())
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}
