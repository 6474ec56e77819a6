//! The observers that write a run's files: the metrics log and TensorBoard events.

use plugin_api::Metric;
use run_store::RunFolder;
use run_store::metrics::{
    EventLog, LESS_IS_BETTER, MetricsError, MetricsLine, MetricsLog, SHARES, is_of_one_loss,
};

use super::observer::{EpochReport, Observer, ObserverError, RolledBack, StepReport};
use super::step::single_values;

/// Approximate number of TensorBoard entries of the loss per epoch.
const EVENTS_PER_EPOCH: usize = 50;

/// Writes a line of `metrics.jsonl` at the end of each epoch.
pub(super) struct MetricsFile {
    log: MetricsLog,
}

impl MetricsFile {
    pub(super) fn new(log: MetricsLog) -> Self {
        Self { log }
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

/// Curves that are read together.
const CHARTS: [(&str, &[&str]); 1] = [("loss", &["train/loss", "train/loss_chance", "train/loss_floor"])];

/// Writes curves for TensorBoard, and the pipeline as a text.
pub(super) struct EventFile {
    log: EventLog,
    /// Steps between two entries.
    every: usize,
}

impl EventFile {
    /// Whether the next event file of `run` is its first.
    pub(super) fn is_first(run: &RunFolder) -> bool {
        std::fs::read_dir(run.events()).map_or(true, |mut entries| entries.next().is_none())
    }

    /// For a run that has done so many steps, with so many in an epoch. The first file of a run has the text of its `pipeline`.
    pub(super) fn new(
        mut log: EventLog,
        (steps_done, steps_per_epoch): (u64, usize),
        pipeline: Option<&str>,
    ) -> Result<Self, MetricsError> {
        if let Some(pipeline) = pipeline {
            // In Markdown, lines that start with four spaces stay as they are.
            let lines: Vec<String> = pipeline.lines().map(|line| format!("    {line}")).collect();
            log.text(steps_done, "pipeline", &lines.join("\n"))?;
            log.charts(CHARTS)?;
        }
        Ok(Self { log, every: (steps_per_epoch / EVENTS_PER_EPOCH).max(1) })
    }
}

impl Observer for EventFile {
    fn step(&mut self, step: &StepReport<'_>) -> Result<(), ObserverError> {
        if !step.step.is_multiple_of(self.every) {
            return Ok(());
        }
        let scalars = [
            ("train/loss", Some(step.loss)),
            ("train/loss_chance", step.loss_range.map(|range| range.chance)),
            ("train/loss_floor", step.loss_range.map(|range| range.floor)),
            ("train/contrast_top1", step.top1),
            ("train/lr", Some(step.lr)),
        ];
        self.log
            .scalars(step.steps_done, scalars.into_iter().filter_map(|(name, value)| Some((name, value?))))?;
        let ramps = step.ramps.iter().map(|(what, value)| (format!("train/{what}"), *value));
        self.log.scalars(step.steps_done, ramps)?;
        let singles = single_values(step.losses).into_iter();
        self.log.scalars(step.steps_done, singles.map(|(name, value)| (format!("train/{name}"), value)))?;
        let gradients = step.gradients.of_weights();
        let named = gradients.map(|(name, norm)| (format!("gradient/{name}"), f64::from(norm)));
        Ok(self.log.scalars(step.steps_done, named)?)
    }

    fn measured(&mut self, report: &EpochReport<'_>) -> Result<(), ObserverError> {
        let line = line(report);
        let named = line.numbers().filter_map(|(name, value)| Some((tag(name)?, value)));
        Ok(self.log.scalars(line.step(), named)?)
    }

    fn rolled_back(&mut self, report: &RolledBack<'_>) -> Result<(), ObserverError> {
        Ok(self.log.roll_back_to(report.steps_done)?)
    }
}

/// How TensorBoard calls a field of `metrics.jsonl`, in groups by what comes before the first slash; `None` for what is no curve.
fn tag(field: &str) -> Option<String> {
    Some(match field {
        // The learning rate is a curve of steps already.
        "epoch" | "lr" => return None,
        "loss" | "contrast_top1" => format!("train/{field}_of_epoch"),
        single if is_of_one_loss(single) => format!("train/{single}_of_epoch"),
        "unreadable" => format!("train/{field}"),
        "seconds" => "time/seconds_of_epoch".into(),
        "images_per_s" | "data_wait_share" => format!("time/{field}"),
        "gradient_first_layer" | "gradient_last_layer" | "gradient_spikes" => {
            field.replacen("gradient_", "gradient/of_epoch_", 1)
        }
        metric => format!("eval/{metric}"),
    })
}

fn line(report: &EpochReport<'_>) -> MetricsLine {
    let mut line = MetricsLine::new(report.steps_done).with("epoch", report.epochs_done);
    if let Some(epoch) = &report.training {
        line = line.with("loss", epoch.loss);
        if let Some(top1) = epoch.top1 {
            line = line.with("contrast_top1", top1);
        }
        line = epoch.singles.iter().fold(line, |line, (name, value)| line.with(name.clone(), *value));
        line = line
            .with("lr", epoch.lr)
            .with("seconds", epoch.seconds)
            .with("images_per_s", epoch.images_per_s)
            .with("data_wait_share", epoch.data_wait_share)
            .with("unreadable", epoch.n_unreadable)
            .with("gradient_first_layer", epoch.gradient_first_layer)
            .with("gradient_last_layer", epoch.gradient_last_layer)
            .with("gradient_spikes", epoch.gradient_spikes as f64);
    }
    let line = report.metrics.iter().fold(line, |line, metric| line.with(metric.name.clone(), metric.value));
    let named = |is_so: fn(&Metric) -> bool| -> Vec<String> {
        report.metrics.iter().filter(|metric| is_so(metric)).map(|metric| metric.name.clone()).collect()
    };
    let kinds =
        [(SHARES, named(|metric| metric.is_share)), (LESS_IS_BETTER, named(|metric| !metric.more_is_better))];
    kinds
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .fold(line, |line, (field, names)| line.with(field, names))
}

#[cfg(test)]
mod tests {
    use run_store::metrics::is_of_training;

    use super::*;
    use crate::trainer::EpochSummary;

    #[test]
    fn every_field_of_an_epoch_has_a_tag_in_a_group() {
        let training = EpochSummary {
            loss: 1.0,
            top1: Some(0.5),
            singles: vec![("l12.loss".into(), 0.5)],
            lr: 0.1,
            seconds: 9.0,
            images_per_s: 7.0,
            data_wait_share: 0.0,
            n_unreadable: 0,
            gradient_first_layer: 1.0,
            gradient_last_layer: 1.0,
            gradient_spikes: 0,
        };
        let metric = Metric {
            name: "knn_top1".into(),
            value: 0.5,
            is_share: true,
            more_is_better: true,
            protocol: String::new(),
        };
        let report =
            EpochReport { epochs_done: 1, steps_done: 8, training: Some(training), metrics: &[metric] };
        let line = line(&report);
        let tags: Vec<String> = line.numbers().filter_map(|(name, _)| tag(name)).collect();
        assert_eq!(
            tags,
            [
                "train/loss_of_epoch",
                "train/contrast_top1_of_epoch",
                "train/l12.loss_of_epoch",
                "time/seconds_of_epoch",
                "time/images_per_s",
                "time/data_wait_share",
                "train/unreadable",
                "gradient/of_epoch_first_layer",
                "gradient/of_epoch_last_layer",
                "gradient/of_epoch_spikes",
                "eval/knn_top1",
            ]
        );
    }

    #[test]
    fn fields_of_training_are_told_from_metrics() {
        let training = Some(EpochSummary {
            loss: 1.0,
            top1: Some(0.5),
            singles: vec![("l12.loss".into(), 0.5)],
            lr: 0.1,
            seconds: 2.0,
            images_per_s: 100.0,
            data_wait_share: 0.0,
            n_unreadable: 0,
            gradient_first_layer: 1.0,
            gradient_last_layer: 1.0,
            gradient_spikes: 0,
        });
        let metric = |name: &str| Metric {
            name: name.into(),
            value: 0.5,
            is_share: true,
            more_is_better: true,
            protocol: String::new(),
        };
        let metrics = [metric("knn_top1"), metric("rank")];
        let line = line(&EpochReport { epochs_done: 1, steps_done: 8, training, metrics: &metrics });
        let measured: Vec<&str> =
            line.numbers().map(|(name, _)| name).filter(|name| !is_of_training(name)).collect();
        assert_eq!(measured, ["knn_top1", "rank"]);
        assert!(is_of_training("step"));
    }
}
