//! Why metrics cannot be written.

use std::io;
use std::path::{Path, PathBuf};

/// A file of metrics that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}", path.display())]
pub struct MetricsError {
    /// What was tried.
    pub action: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// What the system said.
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
