//! The end of an epoch: measurements, the best checkpoint, and whether the run ends here.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use plugin_api::{Metric, Monitor, MonitorError};

use super::early_stopping::{self, EarlyStop};
use super::{
    EpochClock, EpochReport, EpochSummary, Measure, Measuring, Note, PastBatches, Position, TrainError,
    Trainer,
};
use crate::engine::NonFinite;
use crate::features::FeaturesError;

impl Trainer<'_> {
    /// Measures, reports and saves after an epoch, and returns the metrics; `None` if it was asked to stop meanwhile. Then the
    /// epoch has still to be ended.
    ///
    /// An epoch that would be saved after it was measured is saved before as well: nothing that measuring meets costs an epoch.
    pub(super) fn end_epoch(
        &mut self,
        clock: &EpochClock,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<Metric>>, TrainError> {
        let summary = self.summary(clock)?;
        self.last_loss = Some(summary.loss);
        self.together.check_networks(&mut self.engine)?;
        let epochs_done = self.position.epoch + 1;
        let is_saved = epochs_done == self.course.epochs || self.saving.is_due_after_epoch(epochs_done);
        if is_saved && self.is_measured_after(epochs_done) {
            self.save_unmeasured()?;
        }
        let unmeasured = self.position.clone();
        self.position.next_epoch();
        let metrics = match self.measure(epochs_done, stop) {
            Ok(Some(metrics)) => metrics,
            Ok(None) => {
                self.position = unmeasured;
                return Ok(None);
            }
            Err(error) => {
                // A run must not go back to what it has just been shown to be of no use.
                if matches!(error, TrainError::NotFinite { .. }) && self.saved.as_ref() == Some(&unmeasured) {
                    self.saving.remove_unmeasured(unmeasured.steps_done)?;
                    self.saved = None;
                    return Err(error.with_last_good(self.saving.latest_path()));
                }
                return Err(error);
            }
        };
        self.spikes.next_epoch();
        self.report_measured(Some(summary), &metrics)?;
        // Before the epoch counts as done, so that a run that is killed here measures and compares it again.
        if let Some(score) = self.saving.score(&metrics) {
            let snapshot = self.snapshot()?;
            self.saving.save_best(score, &snapshot)?;
        }
        early_stopping::note(self.early_stopping.as_ref(), &mut self.position, &metrics);
        if is_saved || self.early_stop().is_some() {
            self.save()?;
        }
        self.observers.notify(|observer| observer.resumed())?;
        Ok(Some(metrics))
    }

    /// What the epoch that has made its last step was like.
    fn summary(&self, clock: &EpochClock) -> Result<EpochSummary, TrainError> {
        let seconds = clock.started.elapsed().as_secs_f64();
        let n_steps = self.course.steps_per_epoch as f64;
        let [gradient_first_layer, gradient_last_layer] = self.spikes.largest();
        let singles = self.position.single_sums.iter();
        Ok(EpochSummary {
            loss: self.position.loss_sum / n_steps,
            top1: self.engine.has_contrast().then_some(self.position.top1_sum / n_steps),
            singles: singles.map(|(name, sum)| (name.clone(), sum / n_steps)).collect(),
            lr: self.course.lr(self.course.at(self.position.epoch, self.position.step - 1))?,
            seconds,
            images_per_s: (clock.n_steps * self.course.batch) as f64 / seconds,
            data_wait_share: clock.waited.as_secs_f64() / seconds,
            n_unreadable: self.data.unreadable.len(),
            gradient_first_layer,
            gradient_last_layer,
            gradient_spikes: self.spikes.n_spikes(),
        })
    }

    /// Whether a monitor is due after so many epochs.
    fn is_measured_after(&self, epochs_done: usize) -> bool {
        let epochs = self.course.epochs;
        self.monitors.list.iter().any(|(_, monitor)| monitor.is_due(epochs_done, epochs))
    }

    /// Whether the encoder is measured before the first step.
    pub(super) fn is_untrained_measured(&self) -> Result<bool, TrainError> {
        Ok(self.position == Position::default() && !self.is_measured()?)
    }

    /// How often the encoder is still measured, with `untrained` before the first step as well.
    pub(super) fn n_measurements(&self, untrained: bool) -> usize {
        let epochs = self.position.epoch + usize::from(!untrained)..=self.course.epochs;
        epochs.filter(|&epochs_done| self.is_measured_after(epochs_done)).count()
    }

    /// Saves the end of an epoch that has still to be measured, unless the run has resumed from there. What has diverged is
    /// not saved; measuring or saving it will tell.
    fn save_unmeasured(&mut self) -> Result<(), TrainError> {
        if self.saved.as_ref() == Some(&self.position) || self.engine.nonfinite_parameter().is_some() {
            return Ok(());
        }
        let snapshot = self.snapshot()?;
        self.saving.save_unmeasured(self.position.steps_done, &snapshot)?;
        self.saved = Some(self.position.clone());
        self.write_unreadable()
    }

    /// Why the run ends here, if it does so early.
    pub(super) fn early_stop(&self) -> Option<EarlyStop> {
        early_stopping::is_due(self.early_stopping.as_ref(), &self.position)
    }

    /// The metrics after so many epochs; `None` if it was asked to stop meanwhile.
    pub(super) fn measure(
        &mut self,
        epochs_done: usize,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<Metric>>, TrainError> {
        self.observers.notify(|observer| observer.paused())?;
        let measure = Measure {
            splits: &self.data.splits,
            views: &self.data.views,
            trained_size: self.data.trained_size,
            seed: self.course.seed,
            batch: self.course.batch,
            n_workers: self.data.n_workers,
            unreadable: &self.data.unreadable,
        };
        let epochs = self.course.epochs;
        let is_due = |monitor: &dyn Monitor| monitor.is_due(epochs_done, epochs);
        let past = PastBatches { data: &self.data, course: &self.course, position: &self.position };
        let of = (&self.data.own, &past);
        let (observers, mut unseen) = (&mut self.observers, Ok(()));
        let mut watch = |report: &Measuring<'_>| {
            unseen = observers.notify(|observer| observer.measuring(report));
            match unseen.is_err() || stop.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let outcome = measure.metrics(&mut self.engine, &mut self.monitors.list, of, is_due, &mut watch);
        unseen?;
        let outcomes = match outcome {
            Err(TrainError::Monitor { source: MonitorError::Features(error), .. }) if is_stop(&*error) => {
                return Ok(None);
            }
            // Weights that a run starts from may be bad, but have not diverged.
            Err(TrainError::Monitor { monitor, source: MonitorError::NotFinite }) if epochs_done > 0 => {
                return Err(self.diverged_by_now(NonFinite::Feature { monitor }));
            }
            outcomes => outcomes?,
        };
        for (monitor, mut reason) in outcomes.off {
            if self.ends_by(&monitor) {
                reason += "; `early_stopping`, which needs it, will not end this run";
            }
            if !self.monitors.off.contains(&monitor) {
                let note = Note::MonitorOff { monitor: &monitor, reason: &reason };
                self.observers.notify(|observer| observer.note(&note))?;
                self.monitors.off.push(monitor);
            }
        }
        self.report_unreadable()?;
        Ok(Some(outcomes.metrics))
    }

    /// Whether the metric that may end the run early is one of this monitor.
    fn ends_by(&self, monitor: &str) -> bool {
        let Some(config) = &self.early_stopping else { return false };
        let mut monitors = self.monitors.list.iter().filter(|(name, _)| name == monitor);
        monitors.any(|(_, monitor)| monitor.metrics().contains(&config.metric.as_str()))
    }

    pub(super) fn report_measured(
        &mut self,
        training: Option<EpochSummary>,
        metrics: &[Metric],
    ) -> Result<(), TrainError> {
        let report = EpochReport {
            epochs_done: self.position.epoch,
            steps_done: self.position.steps_done,
            training,
            metrics,
        };
        self.saving.check_folder()?;
        self.begin()?;
        self.observers.notify(|observer| observer.measured(&report))
    }

    /// Opens the files of the run, if that was not done: from here on it is changed.
    pub(super) fn begin(&mut self) -> Result<(), TrainError> {
        if !self.observers.has_begun() {
            self.saving.check_folder()?;
        }
        self.observers.begin()
    }
}

/// Whether features were not computed because the run was asked to stop.
fn is_stop(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(FeaturesError::Stopped { .. }))
}
