//! Errors of pages.

use std::io;
use std::path::PathBuf;

use run_store::RunFolderError;
use run_store::metrics::MetricsError;

use crate::{LoadError, RunError};

/// A page that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// There is no such run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file of the run cannot be read.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// The log of the run cannot be read.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// This process cannot compute.
    #[error(transparent)]
    Load(LoadError),
    /// The page cannot be written.
    #[error("`{}` cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
}

impl ReportError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Run(error) => error.hint(),
            Self::Folder(error) => error.hint(),
            Self::Metrics(error) => error.hint().map(str::to_owned),
            Self::Load(error) => error.hint(),
            Self::Write { .. } => None,
        }
    }
}
