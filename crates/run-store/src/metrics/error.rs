//! Errors of metrics files.

use std::io;
use std::path::{Path, PathBuf};

/// A file of metrics that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}", path.display())]
pub struct MetricsError {
    /// What was attempted.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The system's message.
    pub source: io::Error,
}

impl MetricsError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        (self.source.kind() == io::ErrorKind::StorageFull).then_some("free some space on this disk")
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, path: path.into(), source }
    }
}
