//! All observers of a run: its files, and the caller.

use run_store::metrics::{EventLog, MetricsLog};
use run_store::{GoingOn, GoingOnError, RunFolder};

use super::TrainError;
use super::files::{EventFile, MetricsFile};
use super::observer::{Observer, ObserverError};
use super::saving::is_later_than;

/// The observers of a run.
pub(super) struct Observers<'a> {
    /// Of the process that writes.
    files: Files,
    caller: &'a mut dyn Observer,
}

enum Files {
    /// Another process has them.
    Elsewhere,
    /// Of a run that goes on, and has no new result yet: nothing of it changes before.
    Waiting(Box<Opening>),
    Open(Box<(MetricsFile, EventFile)>),
}

/// What the files of a run are opened with, in the process that writes them.
pub(super) struct Opening {
    pub(super) run: RunFolder,
    /// The resolved pipeline.
    pub(super) pipeline: String,
    pub(super) steps_per_epoch: usize,
    /// `None` for a run that begins.
    pub(super) resume: Option<ResumeAt>,
    /// What it is trained with, for `environment.json`.
    pub(super) environment: serde_json::Value,
    /// Places of its images, old and new.
    pub(super) moved: Vec<(String, String)>,
}

/// Where a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResumeAt {
    /// Steps that are done.
    pub(super) steps_done: u64,
    /// Whether the last of them ended an epoch that was not measured, which is done again.
    pub(super) measures_first: bool,
}

impl<'a> Observers<'a> {
    /// The files of a run that begins are opened at once, those of one that goes on by [`begin`](Self::begin).
    pub(super) fn new(opening: Option<Opening>, caller: &'a mut dyn Observer) -> Result<Self, TrainError> {
        let files = match opening {
            None => Files::Elsewhere,
            Some(opening) => {
                opening.run.check_own()?;
                match opening.resume {
                    None => Files::Open(Box::new(opening.open()?)),
                    Some(_) => Files::Waiting(Box::new(opening)),
                }
            }
        };
        Ok(Self { files, caller })
    }

    /// Opens the files for a new result, if they are not open yet.
    ///
    /// # Errors
    /// If one cannot be written. Then none has changed.
    pub(super) fn begin(&mut self) -> Result<(), TrainError> {
        if let Files::Waiting(opening) = &self.files {
            self.files = Files::Open(Box::new(opening.open()?));
        }
        Ok(())
    }

    /// Whether files of the run may be written.
    pub(super) fn has_begun(&self) -> bool {
        matches!(self.files, Files::Open(_))
    }

    /// Notifies one after another, until one fails.
    pub(super) fn notify(
        &mut self,
        mut event: impl FnMut(&mut dyn Observer) -> Result<(), ObserverError>,
    ) -> Result<(), TrainError> {
        if let Files::Open(files) = &mut self.files {
            event(&mut files.0).map_err(TrainError::Observer)?;
            event(&mut files.1).map_err(TrainError::Observer)?;
        }
        event(self.caller).map_err(TrainError::Observer)
    }

    /// Only the caller, for the end of the run, which is not written to files.
    pub(super) fn caller(self) -> &'a mut dyn Observer {
        self.caller
    }
}

impl Opening {
    fn open(&self) -> Result<(MetricsFile, EventFile), TrainError> {
        let is_first = EventFile::is_first(&self.run);
        let steps_done = self.resume.map_or(0, |resume| resume.steps_done);
        let (metrics, events) = match self.resume {
            None => self.begun()?,
            Some(ResumeAt { steps_done, measures_first }) => self.run.go_on(GoingOn {
                step: steps_done,
                results_until: steps_done - u64::from(measures_first),
                is_later: &is_later_than(steps_done),
                environment: self.environment.clone(),
                moved: self.moved.clone(),
            })?,
        };
        let text = is_first.then_some(&*self.pipeline);
        Ok((MetricsFile::new(metrics), EventFile::new(events, (steps_done, self.steps_per_epoch), text)?))
    }

    fn begun(&self) -> Result<(MetricsLog, EventLog), GoingOnError> {
        if !self.moved.is_empty() {
            self.run.write_moved(&self.moved)?;
        }
        let logs = (MetricsLog::open(self.run.metrics())?, EventLog::create(&self.run.events(), 0)?);
        self.run.add_environment(self.environment.clone())?;
        self.run.remove_failure()?;
        Ok(logs)
    }
}
