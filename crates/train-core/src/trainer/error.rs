//! Why a run ended before its last epoch.

use crate::checkpoint::CheckpointError;
use crate::engine::{EngineError, StateError};
use crate::loader::LoaderError;
use crate::metrics::MetricsError;
use crate::plugin::{DatasetError, MonitorError};
use crate::run_folder::RunFolderError;

/// What can end a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The dataset is not there.
    #[error("{0}")]
    Dataset(#[from] DatasetError),
    /// Images cannot be loaded.
    #[error("{0}")]
    Loader(#[from] LoaderError),
    /// A step failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// A monitor failed.
    #[error("{0}")]
    Monitor(#[from] MonitorError),
    /// A checkpoint cannot be written or read.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint is of another network.
    #[error("this checkpoint does not fit the pipeline: {0}")]
    State(#[from] StateError),
    /// A checkpoint of another program version.
    #[error("the checkpoint's metadata has no `{0}`")]
    Metadata(&'static str),
    /// The run folder cannot be used.
    #[error("{0}")]
    RunFolder(#[from] RunFolderError),
    /// The metrics cannot be written.
    #[error("{0}")]
    Metrics(#[from] MetricsError),
    /// The loss is not a number any more.
    #[error("the loss is {loss} at epoch {epoch}, step {step}: training has diverged")]
    NotFinite {
        /// The loss.
        loss: f32,
        /// From 1, as shown.
        epoch: usize,
        /// From 1, as shown.
        step: usize,
    },
}

impl TrainError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dataset(error) => Some(error.hint.clone()),
            Self::Loader(error) => error.hint().map(str::to_owned),
            Self::State(_) => Some("resume with the pipeline that wrote it: the run folder's `pipeline.ron`".into()),
            Self::NotFinite { .. } => {
                Some("lower `learning_rate.base` or lengthen the warm-up, then start again from an earlier checkpoint".into())
            }
            Self::Checkpoint(error) => error.hint(),
            Self::RunFolder(error) => error.hint(),
            Self::Metrics(error) => error.hint().map(str::to_owned),
            Self::Metadata(_) => Some("it was written by another version of this program".into()),
            Self::Engine(_) | Self::Monitor(_) => None,
        }
    }
}
