//! A pipeline as it is written: in a file, or by a program.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plugin_ref::PluginRef;
use crate::stability::StabilityConfig;

/// A pipeline as a file has it. What plugins' configs say is left to the plugins.
///
/// A program builds one with [`new`](Self::new), and sets the fields that it wants otherwise:
///
/// ```
/// use pipeline::{
///     DataConfig, LearningRateConfig, LearningRateScale, MomentumConfig, PipelineConfig, PluginRef, StepConfig,
/// };
///
/// // A choice of a plugin: its own type, or one of the same names.
/// #[derive(serde::Serialize)]
/// enum Statistics {
///     Cifar10,
/// }
///
/// let view = vec![
///     PluginRef::new("random-resized-crop").with("size", 32).with("scale", (0.2, 1.0)),
///     PluginRef::new("flip").with("p", 0.5),
///     PluginRef::new("normalize").with("statistics", Statistics::Cifar10),
/// ];
/// let mut config = PipelineConfig::new(
///     "mine",
///     DataConfig::new(PluginRef::new("shapes"), 128),
///     PluginRef::new("sgd").with("momentum", 0.9).with("weight_decay", 1e-4),
///     LearningRateConfig { base: 0.06, scale: LearningRateScale::Absolute },
///     PluginRef::new("cosine"),
///     20,
/// );
/// config.views = [("query".into(), view.clone()), ("key".into(), view)].into();
/// config.modules = [
///     ("backbone".into(), PluginRef::new("resnet").with("depth", 18)),
///     ("head".into(), PluginRef::new("linear").with("out", 128)),
///     ("contrast".into(), PluginRef::new("queue").with("len", 4096).with("temperature", 0.07)),
/// ]
/// .into();
/// config.graph = vec![
///     StepConfig::encode("q", &["backbone", "head"], "query"),
///     StepConfig::encode("k", &["backbone", "head"], "key").with_momentum_weights(),
///     StepConfig::loss("loss", "contrast", "q", "k"),
/// ];
/// config.momentum = Some(MomentumConfig::constant(0.999));
///
/// // The text of the file that says the same; `Pipeline::from_config` checks it as it checks files.
/// let text = config.to_ron()?;
/// assert!(text.contains(r#""contrast": ("queue", (len: 4096, temperature: 0.07)),"#), "{text}");
/// # Ok::<(), pipeline::WriteError>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Pipeline")]
pub struct PipelineConfig {
    /// Names the run's folder.
    pub name: String,
    /// All random draws follow from it.
    #[serde(default)]
    pub seed: u64,
    /// Where images come from, and how many make a step.
    pub data: DataConfig,
    /// Recipes, by name.
    pub views: BTreeMap<String, Vec<PluginRef>>,
    /// Encoder parts and losses, by name.
    pub modules: BTreeMap<String, PluginRef>,
    /// What a step computes, in order.
    pub graph: Vec<StepConfig>,
    /// The momentum encoder's coefficient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<MomentumConfig>,
    /// The update rule.
    pub optimizer: PluginRef,
    /// The learning rate before the schedule.
    pub learning_rate: LearningRateConfig,
    /// How the learning rate changes.
    pub schedule: PluginRef,
    /// Numbers of the optimizer and of losses that change besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ramps: Vec<RampConfig>,
    /// Passes over the training images.
    pub epochs: usize,
    /// How values between the layers of a backbone are kept.
    #[serde(default)]
    pub precision: Precision,
    /// Parameters that stay as they start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Parameters with settings of their own; the first group that has a parameter counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupConfig>,
    /// What is done about gradients that jump.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stability: StabilityConfig,
    /// What is measured while training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monitor: Vec<PluginRef>,
    /// Whether the run ends before its last epoch if a metric gets no better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// When the state is saved.
    #[serde(default, skip_serializing_if = "is_default")]
    pub checkpoint: CheckpointConfig,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How values between the layers of a backbone are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// `(source: ("shapes", ()), batch: 128)`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "data")]
pub struct DataConfig {
    /// Where images come from.
    pub source: PluginRef,
    /// Images in a step.
    pub batch: usize,
    /// Images that go through the backbone at once, to bound memory; a batch where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    /// The share of images that may be unreadable before the run stops, 0–1.
    #[serde(default = "DataConfig::default_max_unreadable")]
    pub max_unreadable: f64,
}

impl DataConfig {
    /// Steps of `batch` images of `source`.
    pub fn new(source: PluginRef, batch: usize) -> Self {
        Self { source, batch, micro_batch: None, max_unreadable: Self::default_max_unreadable() }
    }

    fn default_max_unreadable() -> f64 {
        0.1
    }
}

/// One step of the graph.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "step")]
pub struct StepConfig {
    /// Its name, which later steps use.
    pub id: String,
    /// A chain of encoder parts, or a loss. Empty only with `gradient: None`.
    pub run: Vec<String>,
    /// One view or step for an encoder; queries and keys for a contrastive loss, any number of steps for an objective.
    pub on: Vec<String>,
    /// Of an encoder.
    #[serde(default, skip_serializing_if = "Weights::are_trained")]
    pub weights: Weights,
    /// Whether gradients pass from what uses the result to what made it.
    #[serde(default, skip_serializing_if = "Gradient::passes")]
    pub gradient: Gradient,
    /// What a step on a view gives.
    #[serde(default, skip_serializing_if = "Gives::are_features")]
    pub gives: Gives,
    /// Whether images are shuffled over the parts of split batch norm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shuffle_batch: bool,
    /// A name that steps on views of one size have in common: their images go through the backbone as one batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_pass: Option<String>,
    /// Of a loss, in the sum that is minimized; 1 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

impl StepConfig {
    /// The chain of modules `run` on a view or an earlier step, with trained weights.
    pub fn encode(id: impl Into<String>, run: &[&str], on: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            run: run.iter().map(|module| (*module).to_owned()).collect(),
            on: vec![on.into()],
            weights: Weights::Query,
            gradient: Gradient::Passes,
            gives: Gives::Features,
            shuffle_batch: false,
            shared_pass: None,
            weight: None,
        }
    }

    /// The same as a target, through which no gradient passes.
    pub fn without_gradient(self) -> Self {
        Self { gradient: Gradient::None, ..self }
    }

    /// The same with momentum weights: keys.
    pub fn with_momentum_weights(self) -> Self {
        Self { weights: Weights::Momentum, ..self }
    }

    /// The loss `module` of the steps `queries` and `keys`.
    pub fn loss(
        id: impl Into<String>,
        module: impl Into<String>,
        queries: impl Into<String>,
        keys: impl Into<String>,
    ) -> Self {
        let on = vec![queries.into(), keys.into()];
        Self { on, run: vec![module.into()], ..Self::encode(id, &[], "") }
    }

    /// The objective `module` of the steps `on`.
    pub fn objective(id: impl Into<String>, module: impl Into<String>, on: &[&str]) -> Self {
        let on = on.iter().map(|step| (*step).to_owned()).collect();
        Self { on, run: vec![module.into()], ..Self::encode(id, &[], "") }
    }
}

/// Whose weights a step uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Weights {
    /// The trained ones.
    #[default]
    Query,
    /// Their exponential moving average; no gradient.
    Momentum,
}

impl Weights {
    fn are_trained(&self) -> bool {
        *self == Self::Query
    }
}

/// Whether gradients pass through a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Gradient {
    /// They do, unless the step uses momentum weights.
    #[default]
    Passes,
    /// They do not: the result is a target, as with a stop-gradient.
    None,
}

impl Gradient {
    fn passes(&self) -> bool {
        *self == Self::Passes
    }
}

/// `(start: 0.99, schedule: Cosine)`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "momentum")]
pub struct MomentumConfig {
    /// The coefficient `m` at the first step, 0–1.
    pub start: f64,
    /// How it changes.
    #[serde(default)]
    pub schedule: MomentumSchedule,
}

/// How the momentum coefficient changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MomentumSchedule {
    /// Not at all (He et al. 2020, arXiv:1911.05722).
    #[default]
    Constant,
    /// To 1 by a half cosine, at every step (Chen et al. 2021, arXiv:2104.02057).
    Cosine,
}

/// `(base: 0.03, scale: Absolute)`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "learning_rate")]
pub struct LearningRateConfig {
    /// The learning rate before scale and schedule.
    pub base: f64,
    /// How the batch size scales it. Written out in every file, for papers differ.
    pub scale: LearningRateScale,
}

/// How the batch size scales the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LearningRateScale {
    /// Not at all (He et al. 2020, arXiv:1911.05722).
    Absolute,
    /// lr = base × batch / this (Chen et al. 2021, arXiv:2104.02057: 256).
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
    /// The coefficient `m` at every step.
    pub fn constant(m: f64) -> Self {
        Self { start: m, schedule: MomentumSchedule::Constant }
    }

    /// The coefficient when a share `done` of the run's steps is done (Chen et al. 2021, arXiv:2104.02057, §4.3).
    pub fn at(self, done: f64) -> f64 {
        match self.schedule {
            MomentumSchedule::Constant => self.start,
            MomentumSchedule::Cosine => {
                1.0 - 0.5 * (1.0 + (std::f64::consts::PI * done).cos()) * (1.0 - self.start)
            }
        }
    }
}

/// `(what: "optimizer.weight_decay", to: 0.4)`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "ramp")]
pub struct RampConfig {
    /// Which number, as `--set` has it: `optimizer.FIELD`, or `modules.NAME.FIELD` of a loss. It starts as it is written.
    pub what: String,
    /// Its value in the end; with a `schedule`, the value where that gives 1.
    pub to: f64,
    /// How it gets there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub along: Curve,
    /// How it gets there, in place of `along`: where the schedule gives 0 the number is as it is written, and where it gives 1 it is
    /// `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<PluginRef>,
    /// In how many epochs; in all of the run where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
}

/// How a number changes, at every step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Curve {
    /// By a half cosine: slowly at both ends.
    #[default]
    Cosine,
    /// By the same amount in each step.
    Linear,
}

/// What a step on a view gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Gives {
    /// The features of the backbone, or what heads make of them.
    #[default]
    Features,
    /// The features, and the map that they are pooled from, for heads and losses on parts of an image.
    FeaturesAndMap,
}

impl Gives {
    fn are_features(&self) -> bool {
        *self == Self::Features
    }
}

/// `(parameters: Vectors, weight_decay: 0)`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "group")]
pub struct GroupConfig {
    /// Which ones.
    pub parameters: Selection,
    /// Their weight decay, in place of the optimizer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// A factor on their learning rate.
    #[serde(default = "GroupConfig::default_learning_rate_factor")]
    pub learning_rate_factor: f64,
    /// Epochs before they are trained (Caron et al. 2021, arXiv:2104.14294: 1 for the last layer).
    #[serde(default, skip_serializing_if = "is_default")]
    pub frozen_epochs: usize,
    /// Steps of the run before they are trained; with `frozen_epochs` as well, whichever ends later.
    #[serde(default, skip_serializing_if = "is_default")]
    pub frozen_steps: usize,
    /// The coefficient of their momentum copies at the first step, in place of `momentum.start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
}

impl GroupConfig {
    fn default_learning_rate_factor() -> f64 {
        1.0
    }
}

/// Which parameters a group has.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub enum Selection {
    /// Those with a single axis: biases, scales and shifts of norms.
    Vectors,
    /// Those that a pattern matches.
    Named(Vec<String>),
}

/// `(metric: "knn_top1", patience: 20)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "early_stopping")]
pub struct EarlyStoppingConfig {
    /// The metric, which some monitor measures.
    pub metric: String,
    /// Epochs that it may get no better before the run ends.
    pub patience: usize,
}

/// When checkpoints are written and which are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename = "checkpoint")]
pub struct CheckpointConfig {
    /// After every how many epochs; the last epoch always.
    pub every_epochs: usize,
    /// Also after this many minutes since the last one.
    pub every_minutes: f64,
    /// The newest that stay.
    pub keep: usize,
    /// Those after every so many epochs stay as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_every: Option<usize>,
    /// The metric whose best checkpoint stays besides; none to keep no best. For the default, `knn_top1`, which takes labels,
    /// others [stand in](Self::best_by).
    #[serde(skip_serializing_if = "CheckpointConfig::is_usual")]
    pub best: Option<String>,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            every_epochs: 1,
            every_minutes: 10.0,
            keep: 2,
            keep_every: None,
            best: Some(Self::USUAL_BEST.into()),
        }
    }
}

impl CheckpointConfig {
    const USUAL_BEST: &str = "knn_top1";

    /// What rises with the quality of the features without labels, the better one first (Thilak et al. 2023,
    /// arXiv:2312.04000, which compares both; the second is RankMe).
    const STAND_INS: [&str; 2] = ["lidar", "effective_rank"];

    /// The metrics by which a checkpoint is the best: [`best`](Self::best), and for the default what stands in for it in a run
    /// that does not measure it, the most trusted first.
    pub fn best_by(&self) -> Vec<&str> {
        let best = self.best.as_deref();
        let stand_ins = Self::STAND_INS.into_iter().filter(|_| best == Some(Self::USUAL_BEST));
        best.into_iter().chain(stand_ins).collect()
    }

    /// A metric that a file names must be measured, and this one need not be.
    fn is_usual(best: &Option<String>) -> bool {
        best.as_deref() == Some(Self::USUAL_BEST)
    }
}
