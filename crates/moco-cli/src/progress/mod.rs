//! Progress lines on the terminal.
//!
//! [`Progress`] observes a training run; [`ImageLine`] counts images.

mod image_line;
mod line;
mod output;
mod pace;

use std::collections::BTreeMap;

use plugin_api::Metric;
use run_store::RunLog;
use train_core::trainer::{
    EpochReport, Finished, Measuring, Note, Observer, ObserverError, PartReport, RolledBack, Started,
    StepReport, TrainError,
};

pub(crate) use self::image_line::ImageLine;
use self::line::{BegunPart, DoneStep, ProgressLine, ProgressPlan};

/// Shows a run on standard error: one line that is updated, with messages above it. These are logged too.
pub(crate) struct Progress {
    /// What the encoder is before the first step.
    started_as: &'static str,
    /// `None` until the run starts.
    line: Option<ProgressLine>,
    log: Option<RunLog>,
    /// The protocols that were told, by metric.
    protocols: BTreeMap<String, String>,
}

impl Progress {
    /// For an encoder that is `started_as`, for instance `untrained`, before its first step.
    pub(crate) fn new(started_as: &'static str) -> Self {
        Self { started_as, line: None, log: None, protocols: BTreeMap::new() }
    }

    /// Writes messages, and the line at the end of each epoch, to `log` as well.
    pub(crate) fn logged(self, log: RunLog) -> Self {
        Self { log: Some(log), ..self }
    }

    /// What was not told yet of how `metrics` were measured: the names that share a protocol, and the protocol.
    fn new_protocols(&mut self, metrics: &[Metric]) -> Vec<String> {
        let mut new: Vec<(Vec<&str>, &str)> = Vec::new();
        for metric in metrics {
            if self.protocols.insert(metric.name.clone(), metric.protocol.clone()).as_ref()
                == Some(&metric.protocol)
            {
                continue;
            }
            match new.iter_mut().find(|(_, protocol)| *protocol == metric.protocol) {
                Some((names, _)) => names.push(&metric.name),
                None => new.push((vec![&metric.name], &metric.protocol)),
            }
        }
        new.into_iter().map(|(names, protocol)| format!("  {}: {protocol}", names.join(", "))).collect()
    }

    /// From the first new result of a run on, there is something to log.
    fn release_log(&self) {
        if let Some(log) = &self.log {
            log.release();
        }
    }

    fn println(&mut self, message: &str) {
        if let Some(log) = &self.log {
            log.line(message);
        }
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
            n_measurements: run.n_measurements,
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
        self.release_log();
        if let Some(line) = &mut self.line {
            line.step(DoneStep {
                epoch: step.epoch as u64,
                step: step.step as u64,
                waited: step.waited,
                loss: step.loss,
                loss_range: step.loss_range,
            });
            if let (Some(log), Some(text)) = (&self.log, line.at_epoch_end()) {
                log.line(&text);
            }
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

    fn measuring(&mut self, report: &Measuring<'_>) -> Result<(), ObserverError> {
        let Measuring { monitor, n_done, n_images } = *report;
        if let Some(line) = &mut self.line {
            line.measuring(monitor, n_done, n_images);
        }
        Ok(())
    }

    fn measured(&mut self, report: &EpochReport<'_>) -> Result<(), ObserverError> {
        self.release_log();
        let when = match report.epochs_done {
            0 => self.started_as.to_owned(),
            epoch => format!("epoch {epoch}"),
        };
        if !report.metrics.is_empty() {
            if let Some(line) = &mut self.line {
                line.measured();
            }
            let metrics: Vec<String> = report.metrics.iter().map(ToString::to_string).collect();
            self.println(&format!("{when}: {}", metrics.join(", ")));
        }
        for protocol in self.new_protocols(report.metrics) {
            self.println(&protocol);
        }
        if let (Some(line), Some(metric)) = (&mut self.line, report.metrics.first()) {
            line.note(format!("{metric} ({when})"));
        }
        Ok(())
    }

    fn note(&mut self, note: &Note<'_>) -> Result<(), ObserverError> {
        self.println(&note.to_string());
        Ok(())
    }

    fn rolled_back(&mut self, report: &RolledBack<'_>) -> Result<(), ObserverError> {
        self.release_log();
        self.println(&report.to_string());
        Ok(())
    }

    fn ended(&mut self, _outcome: Result<&Finished, &TrainError>) {
        if let Some(line) = &mut self.line {
            line.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, value: f64, protocol: &str) -> Metric {
        Metric { name: name.into(), value, is_share: false, more_is_better: true, protocol: protocol.into() }
    }

    #[test]
    fn a_protocol_is_told_once_and_again_when_it_changes() {
        let mut progress = Progress::new("untrained");
        let mut told = |metrics: &[(&str, &str)]| {
            let metrics: Vec<Metric> =
                metrics.iter().map(|(name, protocol)| metric(name, 0.5, protocol)).collect();
            progress.new_protocols(&metrics)
        };
        let first =
            told(&[("knn_top1", "k 20"), ("feature_std", "32 images"), ("effective_rank", "32 images")]);
        assert_eq!(first, ["  knn_top1: k 20", "  feature_std, effective_rank: 32 images"]);
        assert_eq!(told(&[("knn_top1", "k 20"), ("feature_std", "32 images")]), [""; 0]);
        assert_eq!(told(&[("knn_top1", "k 20"), ("feature_std", "31 images")]), ["  feature_std: 31 images"]);
    }

    #[test]
    fn the_log_has_the_messages_and_a_line_per_epoch() {
        let root = tempfile::tempdir().unwrap();
        let run = run_store::RunFolder::create(root.path(), "moco", None).unwrap();
        let mut progress = Progress::new("untrained").logged(RunLog::open(&run).unwrap());
        let metrics = [metric("spread", 0.25, "by hand")];
        progress
            .measured(&EpochReport { epochs_done: 0, steps_done: 0, training: None, metrics: &metrics })
            .unwrap();
        let text = std::fs::read_to_string(run.log()).unwrap();
        let lines: Vec<&str> =
            text.lines().filter_map(|line| line.split_once("Z ")).map(|(_, rest)| rest).collect();
        assert_eq!(lines, ["untrained: spread 0.250", "  spread: by hand"]);
    }
}
