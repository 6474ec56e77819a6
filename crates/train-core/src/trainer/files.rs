//! The observers that write a run's files: the metrics log and TensorBoard events.

use run_store::RunFolder;
use run_store::metrics::{EventLog, MetricsError, MetricsLine, MetricsLog};

use super::observer::{EpochReport, Observer, ObserverError, RolledBack, Started, StepReport};

/// Approximate number of TensorBoard entries of the loss per epoch.
const EVENTS_PER_EPOCH: usize = 50;

/// Writes a line of `metrics.jsonl` at the end of each epoch.
pub(super) struct MetricsFile {
    log: MetricsLog,
}

impl MetricsFile {
    /// Opens the log of `run`. If the run resumes, lines of steps after `resume_at` are dropped.
    pub(super) fn open(run: &RunFolder, resume_at: Option<u64>) -> Result<Self, MetricsError> {
        let mut log = MetricsLog::open(run.metrics())?;
        if let Some(step) = resume_at {
            log.truncate_after(step)?;
        }
        Ok(Self { log })
    }
}

impl Observer for MetricsFile {
    fn measured(&mut self, report: &EpochReport<'_>) -> Result<(), ObserverError> {
        Ok(self.log.append(&line(report))?)
    }

    fn rolled_back(&mut self, report: &RolledBack<'_>) -> Result<(), ObserverError> {
        Ok(self.log.truncate_after(report.steps_done)?)
    }
}

/// Writes scalars for TensorBoard.
pub(super) struct EventFile {
    log: EventLog,
    /// Steps between two entries.
    every: usize,
}

impl EventFile {
    /// Creates an event file for steps after `steps_done`.
    pub(super) fn create(run: &RunFolder, steps_done: u64) -> Result<Self, MetricsError> {
        Ok(Self { log: EventLog::create(&run.events(), steps_done)?, every: 1 })
    }
}

impl Observer for EventFile {
    fn started(&mut self, run: &Started<'_>) -> Result<(), ObserverError> {
        self.every = (run.steps_per_epoch / EVENTS_PER_EPOCH).max(1);
        Ok(())
    }

    fn step(&mut self, step: &StepReport<'_>) -> Result<(), ObserverError> {
        if !step.step.is_multiple_of(self.every) {
            return Ok(());
        }
        let scalars = [("train/loss", step.loss), ("train/contrast_top1", step.top1), ("train/lr", step.lr)];
        self.log.scalars(step.steps_done, scalars)?;
        let gradients = step.gradients.of_weights();
        let named: Vec<(String, f64)> =
            gradients.map(|(name, norm)| (format!("gradient/{name}"), f64::from(norm))).collect();
        self.log.scalars(step.steps_done, named.iter().map(|(name, norm)| (name.as_str(), *norm)))?;
        Ok(())
    }

    fn measured(&mut self, report: &EpochReport<'_>) -> Result<(), ObserverError> {
        let line = line(report);
        Ok(self.log.scalars(line.step(), line.numbers().filter(|(name, _)| *name != "epoch"))?)
    }

    fn rolled_back(&mut self, report: &RolledBack<'_>) -> Result<(), ObserverError> {
        Ok(self.log.roll_back_to(report.steps_done)?)
    }
}

fn line(report: &EpochReport<'_>) -> MetricsLine {
    let mut line = MetricsLine::new(report.steps_done).with("epoch", report.epochs_done);
    if let Some(epoch) = report.training {
        line = line
            .with("loss", epoch.loss)
            .with("contrast_top1", epoch.top1)
            .with("lr", epoch.lr)
            .with("seconds", epoch.seconds)
            .with("images_per_s", epoch.images_per_s)
            .with("data_wait_share", epoch.data_wait_share)
            .with("unreadable", epoch.n_unreadable)
            .with("gradient_first_layer", epoch.gradient_first_layer)
            .with("gradient_last_layer", epoch.gradient_last_layer)
            .with("gradient_spikes", epoch.gradient_spikes as f64);
    }
    report.metrics.iter().fold(line, |line, metric| line.with(metric.name.clone(), metric.value))
}
