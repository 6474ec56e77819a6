//! Errors of tables.

use std::io;
use std::path::PathBuf;

/// A table that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// No format has this extension.
    #[error("`{}` has no known extension", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The build lacks the feature `parquet`.
    #[error("`{}` cannot be written: this build has no parquet", path.display())]
    NoParquet {
        /// The file.
        path: PathBuf,
    },
    /// A path with a line break, where a format has one path per line.
    #[error("{name:?} contains a line break, and the list of paths has one path per line")]
    LineBreak {
        /// The path of the image.
        name: String,
    },
    /// An I/O error.
    #[error("`{}` cannot be written: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
}

impl TableError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Extension { .. } => Some("use `.npy`, `.csv` or `.parquet`"),
            Self::NoParquet { .. } => Some("build with the feature `parquet`, or write `.npy` or `.csv`"),
            Self::LineBreak { .. } => Some("write `.csv` or `.parquet`, or rename the file"),
            Self::Io { .. } => None,
        }
    }
}
