//! Who is told of a sweep.

use train_core::trainer::{Observer, Silent, Summary, TrainError};

use crate::SweepError;

/// Is told what happens while a sweep trains. Every method does nothing unless it is written.
pub trait SweepObserver {
    /// A run begins.
    fn run_started(&mut self, _run: &RunStart<'_>) {}

    /// Who is told of the run that trains now.
    fn of_run(&mut self) -> Box<dyn Observer> {
        Box::new(Silent)
    }

    /// A run has ended, and the table is written.
    fn run_ended(&mut self, _outcome: &RunOutcome<'_>) {}
}

impl SweepObserver for Silent {}

/// A run of a sweep that begins.
#[derive(Clone, Copy, Debug)]
pub struct RunStart<'a> {
    /// Which, from 0.
    pub run: usize,
    /// Runs of the sweep.
    pub n_runs: usize,
    /// What is special about it, as `path=value`; the seed is last.
    pub overrides: &'a [String],
    /// Seconds that the rest of the sweep will take, this run included, once a run has shown it.
    pub rest_seconds: Option<f64>,
}

/// How a run of a sweep has ended.
#[derive(Clone, Copy, Debug)]
pub enum RunOutcome<'a> {
    /// All its epochs are done.
    Completed {
        /// What it came to.
        summary: &'a Summary,
        /// What this process spent on it.
        seconds: f64,
    },
    /// Its loss is not a number any more.
    Diverged(&'a TrainError),
    /// Something else has ended it.
    Failed(&'a SweepError),
}
