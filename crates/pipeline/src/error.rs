//! Errors of pipelines.

use pipeline_text::Fault;

use crate::write::WriteError;

/// A pipeline that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: std::io::Error,
    },
    /// Something in it is wrong.
    #[error(transparent)]
    Fault(#[from] Box<Fault>),
    /// A program has built what no file can say.
    #[error(transparent)]
    Write(#[from] WriteError),
}
