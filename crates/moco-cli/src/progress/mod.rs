//! Progress lines on the terminal.
//!
//! [`Progress`] observes a training run; [`ImageLine`] counts images.

mod image_line;
mod line;
mod output;
mod pace;

use train_core::trainer::{
    EpochReport, Finished, Note, Observer, ObserverError, PartReport, RolledBack, Started, StepReport,
    TrainError,
};

pub(crate) use self::image_line::ImageLine;
use self::line::{BegunPart, DoneStep, ProgressLine, ProgressPlan};

/// Shows a run on standard error: one line that is updated, with messages above it.
pub(crate) struct Progress {
    /// What the encoder is before the first step.
    started_as: &'static str,
    /// `None` until the run starts.
    line: Option<ProgressLine>,
}

impl Progress {
    /// For an encoder that is `started_as`, for instance `untrained`, before its first step.
    pub(crate) fn new(started_as: &'static str) -> Self {
        Self { started_as, line: None }
    }

    fn println(&mut self, message: &str) {
        if let Some(line) = &mut self.line {
            line.println(message);
        }
    }
}

impl Observer for Progress {
    fn started(&mut self, run: &Started<'_>) -> Result<(), ObserverError> {
        self.line = Some(ProgressLine::start(ProgressPlan {
            epochs: run.epochs as u64,
            steps_per_epoch: run.steps_per_epoch as u64,
            batch: run.batch,
        }));
        Ok(())
    }

    fn part(&mut self, part: &PartReport) -> Result<(), ObserverError> {
        let (epoch, step) = (part.epoch as u64, part.step as u64);
        if let Some(line) = &mut self.line {
            line.part(BegunPart { epoch, step, part: part.part, n_parts: part.n_parts });
        }
        Ok(())
    }

    fn step(&mut self, step: &StepReport<'_>) -> Result<(), ObserverError> {
        if let Some(line) = &mut self.line {
            line.step(DoneStep {
                epoch: step.epoch as u64,
                step: step.step as u64,
                waited: step.waited,
                loss: step.loss,
                loss_range: step.loss_range,
            });
        }
        Ok(())
    }

    fn paused(&mut self) -> Result<(), ObserverError> {
        if let Some(line) = &mut self.line {
            line.pause();
        }
        Ok(())
    }

    fn resumed(&mut self) -> Result<(), ObserverError> {
        if let Some(line) = &mut self.line {
            line.resume();
        }
        Ok(())
    }

    fn measured(&mut self, report: &EpochReport<'_>) -> Result<(), ObserverError> {
        let when = match report.epochs_done {
            0 => self.started_as.to_owned(),
            epoch => format!("epoch {epoch}"),
        };
        for metric in report.metrics {
            self.println(&format!("{when}: {metric} ({})", metric.protocol));
        }
        if let (Some(line), Some(metric)) = (&mut self.line, report.metrics.first()) {
            line.note(metric.to_string());
        }
        Ok(())
    }

    fn note(&mut self, note: &Note<'_>) -> Result<(), ObserverError> {
        self.println(&note.to_string());
        Ok(())
    }

    fn rolled_back(&mut self, report: &RolledBack<'_>) -> Result<(), ObserverError> {
        self.println(&report.to_string());
        Ok(())
    }

    fn ended(&mut self, _outcome: Result<&Finished, &TrainError>) {
        if let Some(line) = &mut self.line {
            line.finish();
        }
    }
}
