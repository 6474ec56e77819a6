//! What a sweep knows of itself, which `sweep.json` keeps.

use plugin_api::Metric;
use serde::{Deserialize, Serialize};

use crate::axes::{Axis, Combination};

/// Everything that is needed to resume a sweep, but for the pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepState {
    /// Of the pipeline.
    pub(crate) name: String,
    /// What `--set` changed in every run.
    pub(crate) set: Vec<String>,
    pub(crate) axes: Vec<Axis>,
    pub(crate) n_seeds: usize,
    /// The metric of which the best of each run is wanted, too.
    pub(crate) best: Option<String>,
    /// What the metrics that were measured so far mean.
    pub(crate) metrics: Vec<MetricKind>,
    /// In the order in which they are made.
    pub(crate) runs: Vec<Run>,
}

/// What a metric in `metrics.jsonl` means.
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
    /// Its folder's name.
    pub(crate) folder: String,
    pub(crate) combination: Combination,
    pub(crate) seed: u64,
    /// Images that it trains on, over all epochs.
    pub(crate) n_images: usize,
    pub(crate) state: RunState,
    /// Spent on it so far, measuring included.
    pub(crate) seconds: f64,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// It has not started, or was interrupted.
    Waiting,
    /// All epochs are done.
    Completed,
    /// Its loss is not a number any more, and would not be one the next time either.
    Diverged(String),
    /// Something else ended it, which may be different the next time.
    Failed(String),
}

impl RunState {
    /// Whether there is nothing left to do.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Completed | Self::Diverged(_))
    }
}

impl SweepState {
    /// Keeps what metrics mean, for the table.
    pub(crate) fn learn<'a>(&mut self, measured: impl Iterator<Item = &'a Metric>) {
        for metric in measured {
            if self.metrics.iter().all(|known| known.name != metric.name) {
                let (is_share, more_is_better) = (metric.is_share, metric.more_is_better);
                self.metrics.push(MetricKind { name: metric.name.clone(), is_share, more_is_better });
            }
        }
    }

    /// Whether `other` was asked for in the same words.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        (&self.name, &self.set, &self.axes, self.n_seeds)
            == (&other.name, &other.set, &other.axes, other.n_seeds)
    }
}

/// The name of a run's folder: its number, and what tells it from the others, as far as a file name can say it.
pub(crate) fn folder_name(number: usize, axes: &[Axis], combination: &[usize], seed: u64) -> String {
    /// Longer values are cut off.
    const MAX_VALUE: usize = 24;
    /// File systems take names of 255 bytes.
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
