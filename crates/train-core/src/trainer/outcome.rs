//! How a run ended.

use std::path::PathBuf;
use std::time::Duration;

use plugin_api::Metric;

use super::{EarlyStop, Verdict};

/// How a run ended.
#[derive(Debug)]
pub enum Finished {
    /// All epochs are done.
    Completed(Summary),
    /// It was stopped after a step.
    Stopped {
        /// The checkpoint to resume from.
        checkpoint: PathBuf,
        /// Steps done.
        steps_done: u64,
    },
}

/// A completed run.
#[derive(Debug)]
pub struct Summary {
    /// The last checkpoint.
    pub checkpoint: PathBuf,
    /// The metrics of the untrained encoder, if this process measured them.
    pub before: Vec<Metric>,
    /// The metrics after the last epoch.
    pub after: Vec<Metric>,
    /// The best checkpoint, if one is kept, in the process that writes.
    pub best: Option<BestCheckpoint>,
    /// What the last epoch says against the run, if this process trained it.
    pub verdict: Option<Verdict>,
    /// Why it ended before its last epoch, if it did.
    pub early_stop: Option<EarlyStop>,
    /// Steps made by this process; 0 if the run was already complete.
    pub n_steps: u64,
    /// Time spent by this process.
    pub took: Duration,
    /// Images that could not be read.
    pub n_unreadable: usize,
}

/// The best checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BestCheckpoint {
    /// Its file.
    pub path: PathBuf,
    /// The metric by which it is the best; empty for one of an earlier version.
    pub metric: String,
    /// Whole epochs that were done.
    pub epoch: usize,
}
