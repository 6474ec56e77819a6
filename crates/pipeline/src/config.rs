//! A pipeline file as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::stability::StabilityConfig;

/// The top level of a pipeline file. What plugins' configs say is left to the plugins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Pipeline")]
pub(crate) struct PipelineConfig {
    /// Names the run's folder.
    pub(crate) name: String,
    /// All random draws follow from it.
    #[serde(default)]
    pub(crate) seed: u64,
    pub(crate) data: DataConfig,
    /// Recipes, by name.
    pub(crate) views: BTreeMap<String, Vec<PluginRef>>,
    /// Encoder parts and losses, by name.
    pub(crate) modules: BTreeMap<String, PluginRef>,
    /// What a step computes, in order.
    pub(crate) graph: Vec<StepConfig>,
    /// The momentum encoder's coefficient.
    #[serde(default)]
    pub(crate) momentum: Option<MomentumConfig>,
    #[allow(dead_code, reason = "read through the document, by place")]
    pub(crate) optimizer: PluginRef,
    pub(crate) learning_rate: LearningRateConfig,
    #[allow(dead_code, reason = "read through the document, by place")]
    pub(crate) schedule: PluginRef,
    pub(crate) epochs: usize,
    /// How values between the layers of a backbone are kept.
    #[serde(default)]
    pub(crate) precision: Precision,
    /// Parameters that stay as they start.
    #[serde(default)]
    pub(crate) freeze: Vec<String>,
    /// Parameters with settings of their own; the first group that has a parameter counts.
    #[serde(default)]
    pub(crate) groups: Vec<GroupConfig>,
    /// What is done about gradients that jump.
    #[serde(default)]
    pub(crate) stability: StabilityConfig,
    #[serde(default)]
    pub(crate) monitor: Vec<PluginRef>,
    #[serde(default)]
    pub(crate) checkpoint: CheckpointConfig,
}

/// How values between the layers of a backbone are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16: half the memory. Weights, gradients, statistics, heads and losses are in single precision all the same.
    Bf16,
}

impl From<Precision> for tensor_ops::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// A plugin's name and config: `("resnet", (depth: 18))`.
#[derive(Debug, Deserialize)]
pub(crate) struct PluginRef(
    pub(crate) String,
    #[allow(dead_code, reason = "only its place matters here")] pub(crate) IgnoredAny,
);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "data")]
pub(crate) struct DataConfig {
    #[allow(dead_code, reason = "read through the document, by place")]
    pub(crate) source: PluginRef,
    /// Images in a step.
    pub(crate) batch: usize,
    /// Images that go through the backbone at once, to bound memory; a batch where it is left out.
    #[serde(default)]
    pub(crate) micro_batch: Option<usize>,
    /// The share of images that may be unreadable before the run stops, 0–1.
    #[serde(default = "DataConfig::default_max_unreadable")]
    pub(crate) max_unreadable: f64,
}

impl DataConfig {
    fn default_max_unreadable() -> f64 {
        0.1
    }
}

/// One step of the graph.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "step")]
pub(crate) struct StepConfig {
    pub(crate) id: String,
    pub(crate) run: Vec<String>,
    pub(crate) on: Vec<String>,
    #[serde(default)]
    pub(crate) weights: Weights,
    #[serde(default)]
    pub(crate) shuffle_batch: bool,
    /// Of a loss, in the sum that is minimized; 1 where it is left out.
    #[serde(default)]
    pub(crate) weight: Option<f64>,
}

/// Whose weights a step uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Weights {
    /// The trained ones.
    #[default]
    Query,
    /// Their exponential moving average; no gradient.
    Momentum,
}

/// `(start: 0.99, schedule: Cosine)`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "momentum")]
pub struct MomentumConfig {
    /// The coefficient `m` at the first step, 0–1.
    pub start: f64,
    /// How it changes.
    #[serde(default)]
    pub schedule: MomentumSchedule,
}

/// How the momentum coefficient changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum MomentumSchedule {
    /// Not at all (MoCo v1, v2).
    #[default]
    Constant,
    /// To 1 by a half cosine, at every step (MoCo v3).
    Cosine,
}

/// `(base: 0.03, scale: Absolute)`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "learning_rate")]
pub struct LearningRateConfig {
    /// The learning rate before scale and schedule.
    pub base: f64,
    /// How the batch size scales it. Written out in every file, for papers differ.
    pub scale: LearningRateScale,
}

/// How the batch size scales the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum LearningRateScale {
    /// Not at all (MoCo v1, v2).
    Absolute,
    /// lr = base × batch / this (MoCo v3: 256).
    PerImages(usize),
}

impl LearningRateConfig {
    /// The learning rate at factor 1 for a batch of `batch` images.
    pub fn scaled(self, batch: usize) -> f64 {
        match self.scale {
            LearningRateScale::Absolute => self.base,
            LearningRateScale::PerImages(images) => self.base * batch as f64 / images as f64,
        }
    }
}

impl MomentumConfig {
    /// The coefficient when a share `done` of the run's steps is done (MoCo v3: Chen et al. 2021, arXiv:2104.02057, §4.3).
    pub fn at(self, done: f64) -> f64 {
        match self.schedule {
            MomentumSchedule::Constant => self.start,
            MomentumSchedule::Cosine => {
                1.0 - 0.5 * (1.0 + (std::f64::consts::PI * done).cos()) * (1.0 - self.start)
            }
        }
    }
}

/// `(parameters: Vectors, weight_decay: 0)`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "group")]
pub(crate) struct GroupConfig {
    /// Which ones.
    pub(crate) parameters: Selection,
    /// Their weight decay, in place of the optimizer's.
    #[serde(default)]
    pub(crate) weight_decay: Option<f64>,
    /// A factor on their learning rate.
    #[serde(default = "GroupConfig::default_learning_rate_factor")]
    pub(crate) learning_rate_factor: f64,
}

impl GroupConfig {
    fn default_learning_rate_factor() -> f64 {
        1.0
    }
}

/// Which parameters a group has.
#[derive(Clone, Debug, Deserialize)]
pub(crate) enum Selection {
    /// Those with a single axis: biases, scales and shifts of norms.
    Vectors,
    /// Those that a pattern matches.
    Named(Vec<String>),
}

/// When checkpoints are written and which are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename = "checkpoint")]
pub struct CheckpointConfig {
    /// After every how many epochs; the last epoch always.
    pub every_epochs: usize,
    /// Also after this many minutes since the last one.
    pub every_minutes: f64,
    /// The newest that stay.
    pub keep: usize,
    /// The metric whose best checkpoint stays besides; none to keep no best.
    pub best: Option<String>,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_epochs: 1, every_minutes: 10.0, keep: 2, best: Some("knn_top1".into()) }
    }
}
