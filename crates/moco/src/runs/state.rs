//! How a run stands.

use std::collections::BTreeMap;

use pipeline::PipelineConfig;
use run_store::Holder;
use train_core::trainer::{EarlyStop, Reached};

/// How a run stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RunState {
    /// It has its first checkpoint or not even that, and was never trained.
    NotStarted,
    /// A process trains it now.
    Training {
        /// The process, if it is known.
        pid: Option<u32>,
    },
    /// All epochs are done.
    Complete,
    /// It has ended before its last epoch, because its metric got no better.
    EndedEarly(EarlyStop),
    /// It was stopped with a checkpoint, and can be resumed.
    Stopped,
    /// Training ended with an error.
    Failed {
        /// What it said.
        error: String,
    },
    /// Its process was killed, or the machine went down. It can be resumed from its last checkpoint.
    Interrupted,
}

impl RunState {
    /// One or two words: `ended early`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotStarted => "not started",
            Self::Training { .. } => "training",
            Self::Complete => "complete",
            Self::EndedEarly(_) => "ended early",
            Self::Stopped => "stopped",
            Self::Failed { .. } => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// The state of a run, by who has its lock, its newest checkpoint, whether it has measured anything, and the error that it
    /// left.
    pub(super) fn of(
        holder: Holder,
        config: Option<&PipelineConfig>,
        newest: Option<&BTreeMap<String, String>>,
        has_metrics: bool,
        failure: Option<String>,
    ) -> Self {
        if let Holder::Running(pid) = holder {
            return Self::Training { pid };
        }
        let reached = newest.and_then(|metadata| Reached::of_metadata(metadata).ok());
        if let (Some(reached), Some(config)) = (reached, config)
            && reached.epochs >= config.epochs
        {
            return Self::Complete;
        }
        let stopping = config.and_then(|config| config.early_stopping.as_ref());
        if let Some(early_stop) = newest.and_then(|metadata| EarlyStop::of_metadata(stopping, metadata)) {
            return Self::EndedEarly(early_stop);
        }
        if let Some(error) = failure {
            return Self::Failed { error };
        }
        match holder {
            Holder::Ended(_) => Self::Interrupted,
            _ if !has_metrics && reached.is_none_or(|reached| reached.steps_done == 0) => Self::NotStarted,
            _ => Self::Stopped,
        }
    }
}

/// A sentence without a full stop: `training, process 1234`.
impl std::fmt::Display for RunState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Training { pid: Some(pid) } => write!(f, ", process {pid}"),
            Self::EndedEarly(early_stop) => write!(f, ": {early_stop}"),
            Self::Failed { error } => write!(f, ": {error}"),
            Self::Interrupted => f.write_str(": its process ended without a checkpoint of its last step"),
            _ => Ok(()),
        }
    }
}
