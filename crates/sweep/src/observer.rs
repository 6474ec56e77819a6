//! Observing a sweep.

use train_core::trainer::{Observer, Silent, Summary, TrainError};

use crate::SweepError;

/// Receives the events of a sweep. Every method does nothing by default.
pub trait SweepObserver {
    /// A run starts.
    fn run_started(&mut self, _run: &RunStart<'_>) {}

    /// The observer of the current run.
    fn of_run(&mut self) -> Box<dyn Observer> {
        Box::new(Silent)
    }

    /// A run has ended, and the table has been written.
    fn run_ended(&mut self, _outcome: &RunOutcome<'_>) {}
}

impl SweepObserver for Silent {}

/// A run of a sweep that starts.
#[derive(Clone, Copy, Debug)]
pub struct RunStart<'a> {
    /// Its index, from 0.
    pub run: usize,
    /// The number of runs in the sweep.
    pub n_runs: usize,
    /// The values that make this run, as `path=value`; the seed is last.
    pub overrides: &'a [String],
    /// Estimated seconds for the rest of the sweep, including this run; `None` before the first run has ended.
    pub rest_seconds: Option<f64>,
}

/// How a run of a sweep ended.
#[derive(Clone, Copy, Debug)]
pub enum RunOutcome<'a> {
    /// All its epochs are done.
    Completed {
        /// Its metrics.
        summary: &'a Summary,
        /// The time that this process spent on it.
        seconds: f64,
    },
    /// Its loss is not finite.
    Diverged(&'a TrainError),
    /// It failed for another reason.
    Failed(&'a SweepError),
}
