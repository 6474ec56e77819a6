//! Errors of runs that start from something.

use std::path::PathBuf;

use pipeline::PipelineError;
use plugin_api::counted;
use train_core::trainer::{Reached, TrainError};

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
    /// The file has weights, and no state of a run.
    #[error("`{}` has weights, but no state of a run that could go on", path.display())]
    NoState {
        /// The file.
        path: PathBuf,
    },
    /// The batch is another, within an epoch.
    #[error(
        "`{}` was written after {reached}, and within an epoch the batch cannot change: the images of the epoch would not come out even",
        path.display()
    )]
    WithinEpoch {
        /// The checkpoint.
        path: PathBuf,
        /// How far it has come.
        reached: Reached,
        /// The newest checkpoint between two epochs, if there is one.
        checkpoint: Option<PathBuf>,
    },
    /// The run has done all the epochs that it is to have.
    #[error("`{}` has done {}, and is to have {epochs}", path.display(), counted(*done, "epoch"))]
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
            Self::WithinEpoch { checkpoint: Some(path), .. } => {
                Some(format!("start from `{}`, between two epochs", path.display()))
            }
            Self::WithinEpoch { checkpoint: None, .. } => {
                Some("start from a checkpoint between two epochs".into())
            }
            Self::NoState { .. } | Self::NoPipeline { .. } => {
                Some("give a pipeline, and start it from these weights".into())
            }
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
