//! The state of a sweep, which is stored in `sweep.json`.

use plugin_api::Metric;
use serde::{Deserialize, Serialize};

use crate::axes::{Axis, Combination};

/// Everything that is needed to resume a sweep, except the pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepState {
    /// The name of the pipeline.
    pub(crate) name: String,
    /// The overrides that `--set` made in every run.
    pub(crate) set: Vec<String>,
    pub(crate) axes: Vec<Axis>,
    pub(crate) n_seeds: usize,
    /// The metric whose best value per run is reported too.
    pub(crate) best: Option<String>,
    /// Descriptions of the metrics that were measured so far.
    pub(crate) metrics: Vec<MetricKind>,
    /// In the order in which they are trained.
    pub(crate) runs: Vec<Run>,
}

/// The description of a metric in `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricKind {
    pub(crate) name: String,
    pub(crate) is_share: bool,
    pub(crate) more_is_better: bool,
}

/// One run of a sweep.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// The name of its folder.
    pub(crate) folder: String,
    pub(crate) combination: Combination,
    pub(crate) seed: u64,
    /// The number of images that it trains on, over all epochs.
    pub(crate) n_images: usize,
    pub(crate) state: RunState,
    /// Time spent on it so far, including evaluation.
    pub(crate) seconds: f64,
}

/// The progress of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// It has not started, or was interrupted.
    Waiting,
    /// All epochs are done.
    Completed,
    /// Its loss is not finite. Retrying would give the same result.
    Diverged(String),
    /// It failed for another reason. Retrying may help.
    Failed(String),
}

impl RunState {
    /// Whether there is nothing left to do.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Completed | Self::Diverged(_))
    }
}

impl SweepState {
    /// Records the descriptions of metrics, for the table.
    pub(crate) fn learn<'a>(&mut self, measured: impl Iterator<Item = &'a Metric>) {
        for metric in measured {
            if self.metrics.iter().all(|known| known.name != metric.name) {
                let (is_share, more_is_better) = (metric.is_share, metric.more_is_better);
                self.metrics.push(MetricKind { name: metric.name.clone(), is_share, more_is_better });
            }
        }
    }

    /// Whether `other` was requested with the same arguments.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        (&self.name, &self.set, &self.axes, self.n_seeds)
            == (&other.name, &other.set, &other.axes, other.n_seeds)
    }
}

/// The name of a run's folder: its number, and its values as far as a file name can contain them.
pub(crate) fn folder_name(number: usize, axes: &[Axis], combination: &[usize], seed: u64) -> String {
    /// Longer values are cut off.
    const MAX_VALUE: usize = 24;
    /// File systems limit names to 255 bytes.
    const MAX_NAME: usize = 120;
    let mut name = format!("{number:03}");
    for (axis, value) in axes.iter().zip(combination) {
        let last = axis.path.rsplit('.').next().unwrap_or_default();
        let value: String = axis.values[*value].chars().map(|c| if is_plain(c) { c } else { ' ' }).collect();
        let value: String =
            value.split_whitespace().collect::<Vec<_>>().join("_").chars().take(MAX_VALUE).collect();
        let last: String = last.chars().filter(|c| is_plain(*c)).collect();
        let piece = format!("-{last}={value}");
        if name.len() + piece.len() > MAX_NAME {
            break;
        }
        name += &piece;
    }
    name + &format!("-seed={seed}")
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_.+".contains(letter)
}
