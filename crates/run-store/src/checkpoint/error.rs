//! Errors of checkpoints.

use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
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
    /// It is another kind of file.
    #[error("`{}` is not a safetensors file: {reason}", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What shows this.
        reason: String,
    },
    /// The end of the file is missing.
    #[error("`{}` is truncated: it has {n_bytes} bytes, but should have at least {needed}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length.
        n_bytes: u64,
        /// The length that it should have at least.
        needed: u64,
    },
    /// Another program wrote it.
    #[error("`{}` is a safetensors file, but not a checkpoint of this program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program wrote it.
    #[error("`{}` is a checkpoint of format version `{found}`, but this program reads version `{known}`", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: String,
        /// The version that this program reads.
        known: &'static str,
    },
    /// The contents are not those that were written.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What shows this.
        reason: &'static str,
    },
    /// The newest checkpoint of a run cannot be used.
    #[error("the newest checkpoint cannot be used: {source}")]
    Newest {
        /// What is wrong with it.
        source: Box<CheckpointError>,
        /// The newest usable checkpoint, if there is one.
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
            Self::NotSafetensors { .. } => Some("use a checkpoint that a run has written".into()),
            Self::Truncated { .. } | Self::Damaged { .. } => {
                Some("use another checkpoint of this run".into())
            }
            Self::Foreign { .. } => Some("a run can only resume from its own checkpoints".into()),
            Self::Version { .. } => Some("use the version of the program that wrote it".into()),
            Self::Newest { previous: Some(path), .. } => {
                Some(format!("the one before it is intact; resume from there: `{}`", path.display()))
            }
            Self::Newest { previous: None, source } if source.is_damage() => {
                Some("no checkpoint of this run is usable; start again".into())
            }
            Self::Newest { previous: None, source } => source.hint(),
        }
    }

    /// Whether the contents of the file are lost: they are neither of another version, nor only out of reach.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::NotSafetensors { .. }
            | Self::Truncated { .. }
            | Self::Foreign { .. }
            | Self::Damaged { .. } => true,
            Self::Io { .. } | Self::Version { .. } => false,
            Self::Newest { source, .. } => source.is_damage(),
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }
}
