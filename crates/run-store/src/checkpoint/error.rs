//! Why a checkpoint cannot be used.

use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
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
    /// It is another kind of file.
    #[error("`{}` is not a safetensors file: {reason}", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What gives it away.
        reason: String,
    },
    /// Its end is missing.
    #[error("`{}` is cut short: it has {n_bytes} bytes of at least {needed}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length.
        n_bytes: u64,
        /// The length that it would have at the least.
        needed: u64,
    },
    /// Another program wrote it.
    #[error("`{}` is a safetensors file, but not a checkpoint of this program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later program wrote it.
    #[error("`{}` is a checkpoint of format version `{found}`, and this program reads version `{known}`", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that the file names.
        found: String,
        /// The version that is known.
        known: &'static str,
    },
    /// It does not hold what was written.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What gives it away.
        reason: &'static str,
    },
    /// The newest checkpoint of a run cannot be used.
    #[error("the newest checkpoint cannot be used: {why}")]
    Newest {
        /// What is wrong with it.
        why: Box<CheckpointError>,
        /// The newest one that can be used, if there is one.
        previous: Option<PathBuf>,
    },
}

impl CheckpointError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space on this disk; the checkpoints before this one are untouched".into())
            }
            Self::Io { .. } => None,
            Self::NotSafetensors { .. } => Some("give a checkpoint that a run has written".into()),
            Self::Truncated { .. } | Self::Damaged { .. } => {
                Some("use another checkpoint of this run".into())
            }
            Self::Foreign { .. } => Some("a run goes on from its own checkpoints only".into()),
            Self::Version { .. } => Some("use the version of the program that wrote it".into()),
            Self::Newest { previous: Some(path), .. } => {
                Some(format!("the one before it is whole; go on from there: `--resume {}`", path.display()))
            }
            Self::Newest { previous: None, .. } => {
                Some("no checkpoint of this run can be used; start again without `--resume`".into())
            }
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }
}
