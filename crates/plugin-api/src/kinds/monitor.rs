//! What is measured while training.

use std::error::Error;
use std::sync::Arc;

use super::{OwnDataset, Split};

/// Measures the encoder between epochs, and changes nothing.
pub trait Monitor: Send {
    /// The views that it needs, which the pipeline must declare.
    fn views(&self) -> Vec<&str>;

    /// The names of the [`Metric`]s that it takes: each once, without a dot, and none that a line of
    /// `metrics.jsonl` has anyway, such as `loss`.
    fn metrics(&self) -> &[&'static str];

    /// The dataset to measure on in place of the run's, with the channels of the run's images. It is opened before the first
    /// step, the encoder that [`measure`](Self::measure) gets gives features of its splits, and its name is added to the
    /// protocol of each metric.
    fn dataset(&self) -> Option<&OwnDataset> {
        None
    }

    /// Whether to measure after `epochs_done` of `epochs`; 0 is the untrained encoder.
    fn is_due(&self, epochs_done: usize, epochs: usize) -> bool;

    /// Takes the measurements: each metric is one of [`metrics`](Self::metrics), comes once and is finite, or the run ends.
    ///
    /// # Errors
    /// If features cannot be computed.
    fn measure(&mut self, encoder: &mut dyn FeatureExtractor) -> Result<Outcome, MonitorError>;
}

/// The encoder as a monitor sees it: features in eval mode, without gradients; and what has become of a queue's keys.
pub trait FeatureExtractor {
    /// Features of a split of the monitor's dataset, or why there are none. Computed once for all monitors of an epoch.
    ///
    /// # Errors
    /// If the encoder or the dataset fails.
    fn embed(&mut self, request: Embed<'_>) -> Result<Option<Arc<Embedding>>, MonitorError>;

    /// Features of several views of each of some images, view after view, row for row of the same images; `None` if the dataset
    /// has no such split. Each view is drawn anew, and by the same draws at each measurement.
    ///
    /// # Errors
    /// If the encoder or the dataset fails.
    fn embed_views(&mut self, _request: EmbedViews<'_>) -> Result<Option<Vec<Arc<Embedding>>>, MonitorError> {
        Ok(None)
    }

    /// Of how many of the last steps [`keys_anew`](Self::keys_anew) gives the keys, or why of none.
    fn kept_steps(&mut self) -> Result<usize, String> {
        Err("no keys of earlier steps are kept".into())
    }

    /// The keys of the step `steps_ago` before the last one that the first loss which keeps any has, beside those that the
    /// momentum encoder of now makes of the same images, seen as they were seen then. Its normalization layers take their
    /// statistics from that batch, as they did then, and nothing of the run changes.
    ///
    /// The momentum encoder moves at the start of a step: the keys of the last step, `steps_ago` 0, are its own.
    ///
    /// # Errors
    /// If there are no keys of that step, or the encoder or the dataset fails.
    fn keys_anew(&mut self, _steps_ago: usize) -> Result<KeysAnew, MonitorError> {
        Err(MonitorError::NoKeys)
    }
}

/// The keys of one step, row for row.
#[derive(Clone, Debug, PartialEq)]
pub struct KeysAnew {
    /// `C`.
    pub d: usize,
    /// `(M, C)`, row by row, as they are kept.
    pub kept: Vec<f32>,
    /// `(M, C)`, row by row, as they are made now; not normalized.
    pub anew: Vec<f32>,
}

/// Which features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Embed<'a> {
    /// Of which images.
    pub split: Split,
    /// Seen through which view.
    pub view: &'a str,
    /// From which layer.
    pub level: Level,
}

/// Which features of several views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbedViews<'a> {
    /// Of which images, seen through which view, from which layer.
    pub of: Embed<'a>,
    /// At most so many images, spread evenly over the split.
    pub n_images: usize,
    /// Views of each image.
    pub n_views: usize,
}

/// Where in the encoder features are taken.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub enum Level {
    /// What the backbone gives, and what is used after pre-training.
    Backbone,
    /// What the head gives, and what keys are. MoCo v3's predictor, through which no key passes, is left out.
    Head,
}

/// Features of a set of images.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// `N`, unreadable images left out.
    pub n: usize,
    /// `D`.
    pub d: usize,
    /// `(N, D)`, row by row, not normalized.
    pub rows: Vec<f32>,
    /// `N` classes, if the images have labels.
    pub labels: Option<Vec<u32>>,
    /// Number of classes; 0 without labels.
    pub n_classes: usize,
}

/// What a monitor has to say.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Metrics.
    Measured(Vec<Metric>),
    /// Nothing can be measured on this dataset; said once.
    Off {
        /// Why, and what would change that.
        reason: String,
    },
}

/// One metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// The key in `metrics.jsonl`, for instance `knn_top1`.
    pub name: String,
    /// The value; shares are of 1.
    pub value: f64,
    /// Whether it is a share, to be shown in per cent.
    pub is_share: bool,
    /// Whether more of it is better, for "best" checkpoints.
    pub more_is_better: bool,
    /// How it was measured: "backbone features, k 200, T 0.1, 1000 test images against 6000 train images".
    pub protocol: String,
}

impl Metric {
    /// The value as a person reads it: `61.2 %` or `0.523`.
    pub fn shown_value(&self) -> String {
        if self.is_share { format!("{:.1} %", 100.0 * self.value) } else { format!("{:.3}", self.value) }
    }
}

/// Name and value: `knn_top1 61.2 %`.
impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.shown_value())
    }
}

/// Why a monitor failed. The caller knows its name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// It asks for features of a view that the pipeline does not have.
    #[error("the pipeline has no view `{view}`")]
    NoView {
        /// The view.
        view: String,
    },
    /// It asks for the keys of a step that are not kept.
    #[error("the keys of this step are not kept")]
    NoKeys,
    /// The features cannot be computed.
    #[error(transparent)]
    Features(Box<dyn Error + Send + Sync>),
    /// A feature is infinite or not a number.
    #[error("a feature is infinite or not a number")]
    NotFinite,
    /// A metric that it takes is not one that it may take.
    #[error("its metric `{name}` {problem}")]
    Metric {
        /// The metric.
        name: String,
        /// What is wrong with it, said after its name.
        problem: String,
    },
    /// The features cannot be measured.
    #[error(transparent)]
    Measurement(Box<dyn Error + Send + Sync>),
}

/// A monitor needs only the seed of the run, for a dataset of its own that generates.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonitorContext {
    /// The pipeline's seed.
    pub seed: u64,
}
