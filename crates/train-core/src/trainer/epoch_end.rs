//! The end of an epoch: measurements, the best checkpoint, and whether the run ends here.

use plugin_api::{Metric, Monitor, MonitorError};

use super::early_stopping::{self, EarlyStop};
use super::{EpochClock, EpochReport, EpochSummary, Measure, Note, PastBatches, TrainError, Trainer};
use crate::engine::NonFinite;

impl Trainer<'_> {
    /// Measures, reports and saves after an epoch, and returns the metrics.
    pub(super) fn end_epoch(&mut self, clock: &EpochClock) -> Result<Vec<Metric>, TrainError> {
        let seconds = clock.started.elapsed().as_secs_f64();
        let n_steps = self.course.steps_per_epoch as f64;
        let [gradient_first_layer, gradient_last_layer] = self.spikes.largest();
        let singles = self.position.single_sums.iter();
        let summary = EpochSummary {
            loss: self.position.loss_sum / n_steps,
            top1: self.engine.has_contrast().then_some(self.position.top1_sum / n_steps),
            singles: singles.map(|(name, sum)| (name.clone(), sum / n_steps)).collect(),
            lr: self.course.lr(self.course.at(self.position.epoch, self.position.step - 1)),
            seconds,
            images_per_s: (clock.n_steps * self.course.batch) as f64 / seconds,
            data_wait_share: clock.waited.as_secs_f64() / seconds,
            n_unreadable: self.data.unreadable.len(),
            gradient_first_layer,
            gradient_last_layer,
            gradient_spikes: self.spikes.n_spikes(),
        };
        self.last_loss = Some(summary.loss);
        self.together.check_networks(&mut self.engine)?;
        self.spikes.next_epoch();
        self.position.next_epoch();
        let metrics = self.measure(self.position.epoch)?;
        self.report_measured(Some(summary), &metrics)?;
        // Before the epoch counts as done, so that a run that is killed here measures and compares it again.
        if let Some(score) = self.saving.score(&metrics) {
            let snapshot = self.snapshot()?;
            self.saving.save_best(score, &snapshot)?;
        }
        early_stopping::note(self.early_stopping.as_ref(), &mut self.position, &metrics);
        let last = self.position.epoch == self.course.epochs || self.early_stop().is_some();
        if last || self.saving.is_due_after_epoch(self.position.epoch) {
            self.save()?;
        }
        self.observers.notify(|observer| observer.resumed())?;
        Ok(metrics)
    }

    /// Why the run ends here, if it does so early.
    pub(super) fn early_stop(&self) -> Option<EarlyStop> {
        early_stopping::is_due(self.early_stopping.as_ref(), &self.position)
    }

    pub(super) fn measure(&mut self, epochs_done: usize) -> Result<Vec<Metric>, TrainError> {
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
        let outcomes = match measure.metrics(&mut self.engine, &mut self.monitors.list, of, is_due) {
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
        Ok(outcomes.metrics)
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
        self.observers.notify(|observer| observer.measured(&report))
    }
}
