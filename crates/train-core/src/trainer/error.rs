//! Why a run ended before its last epoch.

use std::path::PathBuf;

use tensor_ops::{OpError, in_gib};

use super::{Fit, ObserverError};
use crate::engine::{EngineError, NonFinite, StateError};
use loader::LoaderError;
use plugin_api::{DatasetError, MonitorError};
use run_store::RunFolderError;
use run_store::checkpoint::CheckpointError;
use run_store::metrics::MetricsError;

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
    /// Somebody who was told of the run failed.
    #[error("{0}")]
    Observer(#[source] ObserverError),
    /// The loader ended before the last epoch: a fault of this program.
    #[error("there are fewer batches than the epochs need")]
    TooFewBatches,
    /// Something is not a number any more.
    #[error("training has diverged at epoch {epoch}, step {step}: {what} is not finite")]
    NotFinite {
        /// The first of what is not finite.
        what: NonFinite,
        /// From 1, as shown.
        epoch: usize,
        /// From 1, as shown.
        step: usize,
        /// The last checkpoint, if there is one: everything in it is finite.
        checkpoint: Option<PathBuf>,
    },
    /// The device has no room for a step.
    #[error(
        "the batch of {batch} images{} needs more than the {} of the device{}",
        parts(*batch, *at_once), in_gib(memory.total), others(*memory)
    )]
    OutOfMemory {
        /// Images in a batch.
        batch: usize,
        /// Images that go through the backbone together.
        at_once: usize,
        /// What there was of it.
        memory: DeviceMemory,
        /// What was found to fit.
        fit: Fit,
    },
}

/// The memory of a device when there was too little of it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// What this program had.
    pub own: u64,
    /// What no program had.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

impl DeviceMemory {
    /// What others have, if it is worth telling: a driver and its libraries always have a little.
    fn of_others(self) -> Option<u64> {
        Some(self.total.saturating_sub(self.own + self.free)).filter(|others| *others > self.total / 8)
    }
}

fn parts(batch: usize, at_once: usize) -> String {
    if at_once < batch { format!(", {at_once} at a time,") } else { String::new() }
}

fn others(memory: DeviceMemory) -> String {
    let others =
        memory.of_others().map(|others| format!(", of which other programs have {}", in_gib(others)));
    others.unwrap_or_default()
}

impl TrainError {
    /// The device's memory, if this is a step that it had no room for.
    pub(super) fn no_room(&self) -> Option<DeviceMemory> {
        let Self::Engine(EngineError::Op(source) | EngineError::Step { source, .. }) = self else {
            return None;
        };
        match *source {
            OpError::OutOfMemory { own, free, total } => Some(DeviceMemory { own, free, total }),
            _ => None,
        }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dataset(error) => Some(error.hint.clone()),
            Self::Loader(error) => error.hint().map(str::to_owned),
            Self::State(_) => {
                Some("resume with the pipeline that wrote it: the run folder's `pipeline.ron`".into())
            }
            Self::NotFinite { checkpoint, .. } => Some(match checkpoint {
                Some(checkpoint) => format!(
                    "the last good checkpoint is `{}`; `stability: (on_nonfinite: RollBack)` in the pipeline goes on from \
                     it by itself, and a lower `learning_rate.base` or a longer warm-up avoids it",
                    checkpoint.display()
                ),
                None => "lower `learning_rate.base`, or lengthen the warm-up".into(),
            }),
            Self::Checkpoint(error) => error.hint(),
            Self::RunFolder(error) => error.hint(),
            Self::Metrics(error) => error.hint().map(str::to_owned),
            Self::Metadata(_) => Some("it was written by another version of this program".into()),
            Self::OutOfMemory { memory, fit, .. } => Some(fit.hint(memory.of_others().is_some())),
            Self::Engine(error) => error.hint(),
            Self::Monitor(_) | Self::Observer(_) | Self::TooFewBatches => None,
        }
    }
}
