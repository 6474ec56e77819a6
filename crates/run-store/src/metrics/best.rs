//! The best of what a run has measured.

use serde_json::{Map, Value};

/// A value of a metric, and when it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// The value.
    pub value: f64,
    /// Whole epochs done by then.
    pub epoch: u64,
}

/// The best value of the metric `name` in `lines` of `metrics.jsonl`, of the trained encoder: the first of equal ones.
pub fn best(lines: &[Map<String, Value>], name: &str, more_is_better: bool) -> Option<Best> {
    let measured = lines.iter().filter_map(|line| {
        let epoch = line.get("epoch")?.as_u64().filter(|epoch| *epoch > 0)?;
        Some(Best { value: line.get(name)?.as_f64()?, epoch })
    });
    measured.reduce(|best, next| {
        let is_better = if more_is_better { next.value > best.value } else { next.value < best.value };
        if is_better { next } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_best_is_taken_and_the_untrained_encoder_is_none() {
        let lines: Vec<Map<String, Value>> = [
            r#"{"step": 0, "epoch": 0, "top1": 0.9}"#,
            r#"{"step": 5, "epoch": 1, "top1": 0.5, "loss": 3.0}"#,
            r#"{"step": 9, "epoch": 2, "top1": 0.7, "loss": 2.0}"#,
            r#"{"step": 12, "epoch": 3, "loss": 4.0}"#,
            r#"{"step": 15, "epoch": 4, "top1": 0.7, "loss": null}"#,
        ]
        .map(|line| serde_json::from_str(line).unwrap())
        .into();
        assert_eq!(best(&lines, "top1", true), Some(Best { value: 0.7, epoch: 2 }));
        assert_eq!(best(&lines, "loss", false), Some(Best { value: 2.0, epoch: 2 }));
        assert_eq!(best(&lines, "other", true), None);
    }
}
