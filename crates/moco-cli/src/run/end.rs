//! What is told when a run has ended, and the folder that is handed over.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use moco::exchange::{EncoderFolder, export_encoder};
use moco::{BestCheckpoint, ReportOptions, Summary, report_path, write_report};
use run_store::metrics::{MetricsLog, best};
use run_store::{HeldFolder, RunFolder};
use serde_json::{Map, Value};

use super::measured::Measured;
use crate::program::program;
use crate::{shell, text};

/// A run that has ended.
pub(super) struct End<'a> {
    pub(super) run: &'a RunFolder,
    /// The same, as it was when training began.
    pub(super) held: &'a HeldFolder,
    pub(super) summary: &'a Summary,
    /// What the encoder was before the first step.
    pub(super) started_as: &'a str,
    /// Whether the dataset has labels.
    pub(super) has_labels: bool,
    /// Whether it has test images.
    pub(super) has_test: bool,
    /// Epochs of its pipeline.
    pub(super) epochs: usize,
    /// Data loader workers.
    pub(super) workers: NonZeroUsize,
}

impl End<'_> {
    /// Tells what the run has reached, writes its encoder for others, and tells what to do next.
    pub(super) fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { run, summary, .. } = self;
        let path = run.path().display();
        // One that was stopped while it measured for the last time has no step left.
        let is_new = summary.n_steps > 0 || !summary.after.is_empty();
        match is_new {
            true => writeln!(out, "done in {}: {path}", format_seconds(summary.took.as_secs_f64()))?,
            false => writeln!(out, "this run is already complete: {path}")?,
        }
        if let Some(early_stop) = &summary.early_stop {
            writeln!(out, "  ended early: {early_stop}")?;
        }
        // One that was killed at its very end may have handed nothing over; the report comes last.
        if !is_new && report_path(run).exists() {
            return writeln!(out, "  go on with: {}", self.go_on());
        }
        // Without the log, which is only for people here, less is told.
        let lines = MetricsLog::read(&run.metrics()).unwrap_or_default();
        let measured = Measured::of(summary, &lines);
        for line in self.metrics(&measured, &lines) {
            writeln!(out, "  {line}")?;
        }
        if let Some(BestCheckpoint { path, metric, epoch }) = &summary.best {
            let by = if metric.is_empty() { String::new() } else { format!(" by {metric}") };
            writeln!(out, "  best checkpoint{by}: epoch {epoch}, {}", path.display())?;
        }
        if summary.n_unreadable > 0 {
            let images = text::count(summary.n_unreadable, "unreadable image");
            writeln!(out, "  {images}, listed in {}", run.unreadable().display())?;
        }
        // What is made now belongs to this run, and not to one that has its place.
        if !self.held.is_in_place() {
            return writeln!(
                out,
                "  {path} was removed or renamed meanwhile: resume it where it is now for its encoder and report"
            );
        }
        match export_encoder(run, &measured.before, &measured.after) {
            Ok(folder) => writeln!(out, "encoder   {}", described(&folder))?,
            // The checkpoint has it all the same.
            Err(error) => writeln!(out, "encoder   none for other programs: {error}")?,
        }
        let workers = Some(self.workers.get());
        let options = ReportOptions { for_tensorboard: true, workers, ..ReportOptions::default() };
        match write_report(run.path(), &options) {
            Ok(page) => writeln!(out, "report    {}", page.display())?,
            Err(error) => writeln!(out, "report    none: {error}")?,
        }
        for (i, (command, what)) in self.next().iter().enumerate() {
            let label = if i == 0 { "next" } else { "" };
            writeln!(out, "{label:<9} {command}\n          {:4}{what}", "")?;
        }
        Ok(())
    }

    /// A line for each metric after the last epoch.
    fn metrics(&self, measured: &Measured, lines: &[Map<String, Value>]) -> Vec<String> {
        let line = |metric: &plugin_api::Metric| {
            let mut text = metric.to_string();
            if let Some(before) = measured.before.iter().find(|before| before.name == metric.name) {
                text += &format!(", {} {}", self.started_as, before.shown_value());
            }
            if let Some(best) = best(lines, &metric.name, metric.more_is_better)
                // The last one may differ from what it was written as by a rounding.
                && let shown = (plugin_api::Metric { value: best.value, ..metric.clone() }).shown_value()
                && shown != metric.shown_value()
            {
                text += &format!(", best {shown} after epoch {}", best.epoch);
            }
            text
        };
        // A line of the log does not say which values are shares, and whether more is better; it has been told already.
        self.summary.after.iter().map(line).collect()
    }

    /// Three commands that work with this run's data, and what each does.
    fn next(&self) -> Vec<(String, &'static str)> {
        let (program, run) = (program(), shell::path(self.run.path()));
        let split = if self.has_test { "test" } else { "train" };
        let mut next = Vec::new();
        if self.has_labels && self.has_test {
            next.push((
                format!("{program} linear {run} --cached"),
                "linear classifiers on its features, in seconds",
            ));
        } else {
            next.push((
                format!("{program} embed {run} --split train -o features.npy"),
                "the features of the training images",
            ));
        }
        next.push((
            format!("{program} neighbors {run} --split {split} -o neighbors.html"),
            "which images the encoder finds alike",
        ));
        next.push((self.go_on(), "as many epochs again, in a new folder"));
        next
    }

    /// The command for twice the epochs.
    fn go_on(&self) -> String {
        let epochs = self.epochs.saturating_mul(2).min(pipeline::MOST_EPOCHS);
        format!("{} run --from {} --epochs {epochs}", program(), shell::path(self.run.path()))
    }
}

/// How another program loads what was written.
fn described(folder: &EncoderFolder) -> String {
    let path = folder.path.display();
    match folder.is_for_timm {
        true => format!("{path}, for timm.create_model(\"local-dir:{path}\", pretrained=True)"),
        false => format!("{path}, which load.py loads into {}", folder.target),
    }
}

pub(crate) fn format_seconds(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    if seconds < 1.5 * MINUTE {
        format!("{seconds:.0} s")
    } else if seconds < 3.0 * HOUR {
        format!("{:.1} min", seconds / MINUTE)
    } else {
        format!("{:.1} h", seconds / HOUR)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    pub(crate) fn summary() -> Summary {
        Summary {
            checkpoint: "step".into(),
            before: Vec::new(),
            after: Vec::new(),
            best: None,
            verdict: None,
            early_stop: None,
            n_steps: 8,
            took: Duration::from_secs(3),
            n_unreadable: 0,
        }
    }

    #[test]
    fn what_is_told_to_do_next_can_be_done_with_the_data() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(Path::new(root.path()), "moco", None).unwrap();
        let commands = |has_labels, has_test| -> String {
            let summary = summary();
            let held = &HeldFolder::new(run.path());
            let end = End {
                run: &run,
                held,
                summary: &summary,
                started_as: "untrained",
                has_labels,
                has_test,
                epochs: 3,
                workers: NonZeroUsize::MIN,
            };
            end.next().into_iter().map(|(command, _)| command + "\n").collect()
        };
        assert!(commands(true, true).contains("linear"));
        for (has_labels, has_test) in [(true, false), (false, true), (false, false)] {
            let commands = commands(has_labels, has_test);
            assert!(!commands.contains("linear") && !commands.contains("knn"), "{commands}");
            assert_eq!(commands.contains("--split test"), has_test, "{commands}");
        }
    }
}
