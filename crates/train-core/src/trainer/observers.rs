//! All observers of a run: its files, and the caller.

use run_store::RunFolder;
use run_store::metrics::MetricsError;

use super::TrainError;
use super::files::{EventFile, MetricsFile};
use super::observer::{Observer, ObserverError};

/// The observers of a run.
pub(super) struct Observers<'a> {
    metrics: MetricsFile,
    events: EventFile,
    caller: &'a mut dyn Observer,
}

impl<'a> Observers<'a> {
    /// Opens the files of `run`, which starts, or resumes at a step.
    pub(super) fn new(
        run: &RunFolder,
        resume_at: Option<u64>,
        caller: &'a mut dyn Observer,
    ) -> Result<Self, MetricsError> {
        Ok(Self {
            metrics: MetricsFile::open(run, resume_at)?,
            events: EventFile::create(run, resume_at.unwrap_or(0))?,
            caller,
        })
    }

    /// Notifies one after another, until one fails.
    pub(super) fn notify(
        &mut self,
        mut event: impl FnMut(&mut dyn Observer) -> Result<(), ObserverError>,
    ) -> Result<(), TrainError> {
        for observer in [&mut self.metrics as &mut dyn Observer, &mut self.events, self.caller] {
            event(observer).map_err(TrainError::Observer)?;
        }
        Ok(())
    }

    /// Only the caller, for the end of the run, which is not written to files.
    pub(super) fn caller(self) -> &'a mut dyn Observer {
        self.caller
    }
}
