//! Errors of run folders.

use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a run folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunFolderError {
    /// The requested folder is not empty.
    #[error("folder `{}` is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The requested path is a file.
    #[error("`{}` is a file, not a folder", path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// The requested folder for results exists.
    #[error("`{}` already exists", path.display())]
    AlreadyExists {
        /// The folder.
        path: PathBuf,
    },
    /// There is no run in the folder.
    #[error("`{}` is not a run folder: it has no `pipeline.ron`", path.display())]
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
    /// The folder is a link to another.
    #[error("`{}` is a link", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// The list of places that have moved is damaged.
    #[error("`{}` is not a list of pairs of places: {reason}", path.display())]
    Moved {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An I/O error.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
}

impl RunFolderError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotEmpty { .. } => Some("choose a new folder, or resume the run in this one".into()),
            Self::NotAFolder { .. } => Some("choose another path".into()),
            Self::AlreadyExists { .. } => Some("choose another name, or remove it first".into()),
            Self::NotARun { .. } => {
                Some("give a folder that a run has written, or a checkpoint in it".into())
            }
            Self::InUse { .. } => {
                Some("wait for the other run to end, or start this one in another folder".into())
            }
            Self::Link { .. } => Some("give the folder that it leads to".into()),
            Self::Moved { .. } => Some(
                "it tells where the images of the run have moved: remove it, and say again where they are"
                    .into(),
            ),
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
