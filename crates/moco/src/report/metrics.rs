//! What monitors have measured along a run.

use pages::{Measured, Unit};
use pipeline::CheckpointConfig;
use run_store::RunFolder;
use run_store::checkpoint::{CheckpointFolder, read_metadata};
use run_store::metrics::{MetricKind, is_of_training};

use super::Line;
use crate::deciding::deciding_metric;

/// The metric that decides which checkpoint of the run in `folder` is the best.
pub(super) fn deciding(
    folder: &RunFolder,
    lines: &[Line],
    config: Option<&CheckpointConfig>,
) -> Option<String> {
    // That of a run which trains now may just be replaced.
    let best = read_metadata(&CheckpointFolder::new(folder.checkpoints(), 1).best_path()).ok();
    deciding_metric(best.as_ref(), config, lines).map(str::to_owned)
}

/// What monitors have measured, the metric that decides the best checkpoint first.
pub(super) fn metrics(
    lines: &[Line],
    deciding: Option<&str>,
    along: &impl Fn(&str) -> Vec<(f64, f64)>,
) -> Vec<Measured> {
    let mut names: Vec<&String> = Vec::new();
    for (name, value) in lines.iter().flatten() {
        let is_metric = !is_of_training(name) && (value.is_number() || value.is_null());
        if is_metric && !names.contains(&name) {
            names.push(name);
        }
    }
    let unit = |name: &str| match MetricKind::of(lines, name).is_share || is_accuracy(name) {
        true => Unit::Share,
        false => Unit::Plain,
    };
    names.sort_by_key(|name| (deciding != Some(name.as_str()), unit(name) != Unit::Share));
    let measured = |name: &String| Measured {
        name: name.clone(),
        unit: unit(name),
        points: along(name),
        more_is_better: MetricKind::of(lines, name).more_is_better,
        decides_best: deciding == Some(name.as_str()),
    };
    names.into_iter().map(measured).collect()
}

/// Logs of earlier versions do not say which metrics are shares; those of accuracies are called so.
fn is_accuracy(name: &str) -> bool {
    ["top1", "top5", "accuracy"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use run_store::checkpoint::{Score, Snapshot};

    use super::*;

    /// Without labels: what stands in for `knn_top1` is not first by name.
    fn lines() -> Vec<Line> {
        let metrics =
            r#""alignment": 0.3, "effective_rank": 9.0, "lidar": 5.0, "less_is_better": ["alignment"]"#;
        let later = metrics.replace("0.3", "0.5");
        [
            format!(r#"{{"step": 0, "epoch": 0, {metrics}}}"#),
            format!(r#"{{"step": 4, "epoch": 1, "loss": 3.0, "knn_top1": null, {later}}}"#),
            format!(r#"{{"step": 8, "epoch": 2, "loss": 3.0, {later}}}"#),
        ]
        .map(|line| serde_json::from_str(&line).unwrap())
        .into()
    }

    #[test]
    fn what_decides_the_best_checkpoint_is_first_also_where_it_stands_in_for_another() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), "moco", None).unwrap();
        let usual = CheckpointConfig::default();
        let names = |deciding: Option<&str>| -> Vec<String> {
            let measured = metrics(&lines(), deciding, &|_| Vec::new());
            assert_eq!(measured[0].decides_best, deciding.is_some());
            assert!(measured[1..].iter().all(|metric| !metric.decides_best));
            measured.into_iter().map(|metric| metric.name).collect()
        };
        let found = deciding(&folder, &lines(), Some(&usual));
        assert_eq!(found.as_deref(), Some("lidar"), "the more trusted one of those that were measured");
        assert_eq!(names(found.as_deref()), ["lidar", "knn_top1", "alignment", "effective_rank"]);
        let named = CheckpointConfig { best: Some("alignment".into()), ..usual.clone() };
        assert_eq!(deciding(&folder, &lines(), Some(&named)).as_deref(), Some("alignment"));
        let none = CheckpointConfig { best: None, ..usual.clone() };
        assert_eq!(deciding(&folder, &lines(), Some(&none)), None);
        assert_eq!(names(None), ["knn_top1", "alignment", "effective_rank", "lidar"]);

        // Where there is a best checkpoint, it says itself by what it is the best, whether the pipeline can be read or not.
        let snapshot = Snapshot { tensors: Vec::new().into_iter().collect(), metadata: BTreeMap::new() };
        let score = Score { metric: "effective_rank".into(), value: 9.0, stands_in: 2 };
        CheckpointFolder::new(folder.checkpoints(), 1).save_best(score, &snapshot).unwrap();
        assert_eq!(deciding(&folder, &lines(), None).as_deref(), Some("effective_rank"));
    }

    #[test]
    fn of_a_metric_of_which_less_is_better_the_least_is_the_best() {
        let along = |name: &str| -> Vec<(f64, f64)> {
            let point = |line: &Line| Some((line.get("epoch")?.as_f64()?, line.get(name)?.as_f64()?));
            lines().iter().filter_map(point).collect()
        };
        let measured = metrics(&lines(), Some("alignment"), &along);
        assert_eq!(measured[0].best(), Some((1.0, 0.5)));
        assert!(!measured[0].more_is_better && measured[1..].iter().all(|metric| metric.more_is_better));
    }
}
