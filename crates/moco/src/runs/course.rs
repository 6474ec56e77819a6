//! How a metric has developed.

use std::collections::BTreeMap;

use pipeline::PipelineConfig;
use run_store::metrics::{Best, MetricKind, best as best_of, is_of_training};
use serde_json::{Map, Value};

use crate::deciding::deciding_metric;

/// A metric of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricCourse {
    /// Its name in `metrics.jsonl`.
    pub name: String,
    /// Its value when it was last measured.
    pub last: f64,
    /// The best value after an epoch; `None` if only the untrained encoder was measured.
    pub best: Option<Best>,
    /// Whether it is a share, and whether more is better.
    pub kind: MetricKind,
}

/// A line of `metrics.jsonl`.
type Line = Map<String, Value>;

/// All metrics that a run has measured, the one that decides which checkpoint is best first. `best` are the metadata of that
/// checkpoint, which tell whether less of it is better.
pub(super) fn courses(
    lines: &[Line],
    config: Option<&PipelineConfig>,
    best: Option<&BTreeMap<String, String>>,
) -> Vec<MetricCourse> {
    let mut names: Vec<&str> = Vec::new();
    for line in lines {
        let measured = line.iter().filter(|(name, value)| !is_of_training(name) && value.is_number());
        for (name, _) in measured {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    let deciding = deciding_metric(best, config.map(|config| &config.checkpoint), lines);
    let stopping = config.and_then(|config| Some(config.early_stopping.as_ref()?.metric.as_str()));
    names.sort_by_key(|name| (Some(*name) != deciding, Some(*name) != stopping));
    let course = |name: &str| {
        let values: Vec<(u64, f64)> = lines
            .iter()
            .filter_map(|line| Some((line.get("epoch")?.as_u64()?, line.get(name)?.as_f64()?)))
            .collect();
        let mut kind = MetricKind::of(lines, name);
        // What logs of earlier versions do not tell, the best checkpoint does.
        if Some(name) == deciding && best.is_some_and(|best| scores_are_negated(best, &values)) {
            kind.more_is_better = false;
        }
        let (_, last) = *values.last()?;
        let best = best_of(lines, name, kind.more_is_better);
        Some(MetricCourse { name: name.to_owned(), last, best, kind })
    };
    names.into_iter().filter_map(course).collect()
}

/// Whether the score of the best checkpoint is the metric with the other sign, as for a metric of which less is better.
fn scores_are_negated(best: &BTreeMap<String, String>, values: &[(u64, f64)]) -> bool {
    let number = |key: &str| best.get(key).and_then(|text| text.parse::<f64>().ok());
    let (Some(score), Some(epoch)) = (number("score"), number("epoch")) else { return false };
    let value = values.iter().find(|(of, _)| *of as f64 == epoch).map(|(_, value)| *value);
    value.is_some_and(|value| (score + value).abs() < (score - value).abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Line> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    const LINES: &str = "{\"step\":0,\"epoch\":0,\"rank\":9.0,\"knn_top1\":0.9}\n\
        {\"step\":4,\"epoch\":1,\"loss\":3.0,\"rank\":7.0,\"knn_top1\":0.4}\n\
        {\"step\":8,\"epoch\":2,\"loss\":2.0,\"rank\":8.0}\n\
        {\"step\":12,\"epoch\":3,\"loss\":1.0,\"rank\":5.0,\"knn_top1\":0.3,\"note\":\"x\"}";

    fn config(best: &str) -> PipelineConfig {
        let text = format!(
            r#"(name: "a", data: (source: ("s", ()), batch: 1), views: {{}}, modules: {{}}, graph: [],
            optimizer: ("o", ()), learning_rate: (base: 1, scale: Absolute), schedule: ("s", ()), epochs: 3,
            checkpoint: (best: {best}))"#
        );
        PipelineConfig::parse_kept("it", &text).unwrap()
    }

    fn told(courses: &[MetricCourse]) -> Vec<(&str, f64, f64, u64)> {
        let tell = |course: &'_ MetricCourse| {
            let best = course.best.unwrap();
            (course.last, best.value, best.epoch)
        };
        courses
            .iter()
            .map(|course| {
                let (last, best, epoch) = tell(course);
                (course.name.as_str(), last, best, epoch)
            })
            .collect()
    }

    #[test]
    fn the_deciding_metric_is_first_and_the_untrained_encoder_is_no_best() {
        let (lines, config) = (lines(LINES), config("\"knn_top1\""));
        let courses = courses(&lines, Some(&config), None);
        assert_eq!(told(&courses), [("knn_top1", 0.3, 0.4, 1), ("rank", 5.0, 8.0, 2)]);
        assert_eq!(super::courses(&lines[..1], Some(&config), None)[0].best, None);
        assert_eq!(super::courses(&[], Some(&config), None), []);
    }

    #[test]
    fn less_is_better_where_the_best_checkpoint_says_so() {
        let (lines, config) = (lines(LINES), config("\"rank\""));
        let best = |score: &str, epoch: &str| {
            BTreeMap::from([("score", score), ("epoch", epoch)].map(|(k, v)| (k.to_owned(), v.to_owned())))
        };
        let less = courses(&lines, Some(&config), Some(&best("-5", "3")));
        assert_eq!(told(&less)[0], ("rank", 5.0, 5.0, 3));
        let more = courses(&lines, Some(&config), Some(&best("8", "2")));
        assert_eq!(told(&more)[0], ("rank", 5.0, 8.0, 2));
    }
}
