//! What the metrics of a log are.

use serde_json::{Map, Value};

/// The field with the names of a line's metrics that are shares of 1.
pub const SHARES: &str = "shares";
/// The field with the names of a line's metrics of which less is better.
pub const LESS_IS_BETTER: &str = "less_is_better";

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricKind {
    /// Whether it is a share of 1, to be shown in per cent.
    pub is_share: bool,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

impl MetricKind {
    /// The kind of the metric `name`, as the last of `lines` of `metrics.jsonl` tells that has it. Logs of earlier versions tell
    /// nothing: there it is no share, and more is better.
    pub fn of(lines: &[Map<String, Value>], name: &str) -> Self {
        let line = lines.iter().rev().find(|line| line.contains_key(name));
        let is_among = |field: &str| {
            let names = line.and_then(|line| line.get(field)?.as_array());
            names.is_some_and(|names| names.iter().any(|other| other == name))
        };
        Self { is_share: is_among(SHARES), more_is_better: !is_among(LESS_IS_BETTER) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_line_with_a_metric_tells_what_it_is() {
        let lines: Vec<Map<String, Value>> = [
            r#"{"step": 1, "knn_top1": 0.5, "drift": 1.0, "shares": ["knn_top1"], "less_is_better": ["drift"]}"#,
            r#"{"step": 2, "rank": 3.0, "shares": []}"#,
        ]
        .map(|line| serde_json::from_str(line).unwrap())
        .into();
        let kind = |is_share, more_is_better| MetricKind { is_share, more_is_better };
        assert_eq!(MetricKind::of(&lines, "knn_top1"), kind(true, true));
        assert_eq!(MetricKind::of(&lines, "drift"), kind(false, false));
        assert_eq!(MetricKind::of(&lines, "rank"), kind(false, true));
        assert_eq!(MetricKind::of(&lines, "other"), kind(false, true));
    }
}
