//! Errors of runs that start from something.

use std::path::PathBuf;

use pipeline::PipelineError;
use train_core::trainer::TrainError;

use crate::exchange::ExchangeError;
use crate::{Error, RunError};

/// A checkpoint that a new run cannot start from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// The file cannot be read, or is neither.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The run cannot be created.
    #[error(transparent)]
    Create(#[from] Error),
    /// The checkpoint has no pipeline in it.
    #[error("`{}` does not say which pipeline it is of", path.display())]
    NoPipeline {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The run has done all the epochs that it is to have.
    #[error("`{}` has done {done} epochs, and is to have {epochs}", path.display())]
    NothingLeft {
        /// The checkpoint.
        path: PathBuf,
        /// Epochs done.
        done: usize,
        /// Epochs of the pipeline.
        epochs: usize,
    },
    /// The pipeline's backbone is another one.
    #[error("the backbone `{module}` of the pipeline does not match `{}`: {mismatch}", path.display())]
    Backbone {
        /// The module.
        module: String,
        /// The checkpoint.
        path: PathBuf,
        /// The first mismatch.
        mismatch: String,
    },
}

impl OriginError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Exchange(error) => error.hint(),
            Self::Create(error) => error.hint(),
            Self::NoPipeline { .. } => Some("give a pipeline, and start it from these weights".into()),
            Self::NothingLeft { done, .. } => {
                Some(format!("give the number of all epochs, more than {done}"))
            }
            Self::Backbone { .. } => {
                Some("use a pipeline with the backbone of that run, under the same name".into())
            }
        }
    }
}

impl From<RunError> for OriginError {
    fn from(error: RunError) -> Self {
        Self::Create(error.into())
    }
}

impl From<PipelineError> for OriginError {
    fn from(error: PipelineError) -> Self {
        Self::Create(error.into())
    }
}

impl From<TrainError> for OriginError {
    fn from(error: TrainError) -> Self {
        Self::Create(error.into())
    }
}
