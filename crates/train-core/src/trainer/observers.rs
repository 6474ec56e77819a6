//! All observers of a run: its files, and the caller.

use run_store::RunFolder;
use run_store::metrics::MetricsError;

use super::TrainError;
use super::files::{EventFile, MetricsFile};
use super::observer::{Observer, ObserverError};

/// The observers of a run.
pub(super) struct Observers<'a> {
    /// Of the process that writes.
    files: Option<(MetricsFile, EventFile)>,
    caller: &'a mut dyn Observer,
}

impl<'a> Observers<'a> {
    /// Opens the files of `run` of `pipeline`, which starts, or resumes at a step, in the process that writes them.
    pub(super) fn new(
        (run, pipeline): (&RunFolder, &str),
        resume_at: Option<u64>,
        is_writer: bool,
        caller: &'a mut dyn Observer,
    ) -> Result<Self, MetricsError> {
        let steps_done = resume_at.unwrap_or(0);
        let open = || Ok((MetricsFile::open(run, resume_at)?, EventFile::create(run, steps_done, pipeline)?));
        Ok(Self { files: is_writer.then(open).transpose()?, caller })
    }

    /// Notifies one after another, until one fails.
    pub(super) fn notify(
        &mut self,
        mut event: impl FnMut(&mut dyn Observer) -> Result<(), ObserverError>,
    ) -> Result<(), TrainError> {
        if let Some((metrics, events)) = &mut self.files {
            event(metrics).map_err(TrainError::Observer)?;
            event(events).map_err(TrainError::Observer)?;
        }
        event(self.caller).map_err(TrainError::Observer)
    }

    /// Only the caller, for the end of the run, which is not written to files.
    pub(super) fn caller(self) -> &'a mut dyn Observer {
        self.caller
    }
}
