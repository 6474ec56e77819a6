//! Metrics before and after a training.

use moco::Summary;
use plugin_api::Metric;
use run_store::metrics::{MetricKind, is_of_training};
use serde_json::{Map, Value};

/// What a run measured before its first step and after its last.
pub(super) struct Measured {
    pub(super) before: Vec<Metric>,
    pub(super) after: Vec<Metric>,
}

impl Measured {
    /// As this process has it, and else as `lines` of `metrics.jsonl` tell it: of a run that was resumed, the untrained encoder;
    /// of one that is complete, both.
    pub(super) fn of(summary: &Summary, lines: &[Map<String, Value>]) -> Self {
        let after = match (&summary.after[..], lines.last()) {
            ([], Some(line)) => metrics(line, lines),
            (measured, _) => measured.to_vec(),
        };
        let before = match (&summary.before[..], lines.first().filter(|line| is_of_start(line))) {
            ([], Some(line)) => after.iter().filter_map(|metric| earlier(metric, line)).collect(),
            (measured, _) => measured.to_vec(),
        };
        Self { before, after }
    }
}

fn is_of_start(line: &Map<String, Value>) -> bool {
    line.get("epoch").and_then(Value::as_u64) == Some(0)
}

/// The value that `metric` had in `line`.
fn earlier(metric: &Metric, line: &Map<String, Value>) -> Option<Metric> {
    Some(Metric { value: line.get(&metric.name)?.as_f64()?, ..metric.clone() })
}

/// The metrics of monitors in `line`, one of `lines`.
fn metrics(line: &Map<String, Value>, lines: &[Map<String, Value>]) -> Vec<Metric> {
    let of_monitors = line.iter().filter(|(name, _)| !is_of_training(name));
    let metric = |(name, value): (&String, &Value)| {
        let MetricKind { is_share, more_is_better } = MetricKind::of(lines, name);
        let protocol = "told in run.log".into();
        Some(Metric { name: name.clone(), value: value.as_f64()?, is_share, more_is_better, protocol })
    };
    of_monitors.filter_map(metric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::end::tests::summary;

    fn line(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    fn told(metrics: &[Metric]) -> Vec<String> {
        metrics.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_this_process_has_not_measured_is_in_the_log() {
        let lines = [
            line(r#"{"step": 0, "epoch": 0, "knn_top1": 0.25, "rank": 3.0}"#),
            line(
                r#"{"step": 9, "epoch": 1, "loss": 4.0, "l12.loss": 4.0, "knn_top1": 0.5, "rank": null, "shares": ["knn_top1"]}"#,
            ),
        ];
        let knn = Metric {
            name: "knn_top1".into(),
            value: 0.5,
            is_share: true,
            more_is_better: true,
            protocol: "k 20".into(),
        };
        let resumed = Measured::of(&Summary { after: vec![knn.clone()], ..summary() }, &lines);
        assert_eq!(
            (told(&resumed.before), told(&resumed.after)),
            (vec!["knn_top1 25.0 %".into()], vec!["knn_top1 50.0 %".into()])
        );
        let complete = Measured::of(&summary(), &lines);
        assert_eq!(
            (told(&complete.before), told(&complete.after)),
            (vec!["knn_top1 25.0 %".into()], vec!["knn_top1 50.0 %".into()])
        );
        // The first line of a log that was cut is none of the untrained encoder.
        let cut = Measured::of(&Summary { after: vec![knn], ..summary() }, &lines[1..]);
        assert!(cut.before.is_empty());
        assert!(Measured::of(&summary(), &[]).after.is_empty());
    }
}
