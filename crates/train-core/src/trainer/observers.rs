//! Everybody who is told of a run: its files, and the caller.

use run_store::RunFolder;
use run_store::metrics::MetricsError;

use super::TrainError;
use super::files::{EventFile, MetricsFile};
use super::observer::{Observer, ObserverError};

/// The observers of a run.
pub(super) struct Told<'a> {
    metrics: MetricsFile,
    events: EventFile,
    caller: &'a mut dyn Observer,
}

impl<'a> Told<'a> {
    /// Opens the files of `run`, which resumes at a step or starts.
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

    /// Tells one after another, until one fails.
    pub(super) fn tell(
        &mut self,
        mut what: impl FnMut(&mut dyn Observer) -> Result<(), ObserverError>,
    ) -> Result<(), TrainError> {
        for observer in [&mut self.metrics as &mut dyn Observer, &mut self.events, self.caller] {
            what(observer).map_err(TrainError::Observer)?;
        }
        Ok(())
    }

    /// The caller alone: for the end, which no file is told of.
    pub(super) fn caller(self) -> &'a mut dyn Observer {
        self.caller
    }
}
