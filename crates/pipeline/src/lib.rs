//! From a RON file to a checked graph of plugins.
//!
//! Start at [`Pipeline::read`]. Everything that can be wrong is found here, before the first image is read, and is told
//! as a [`Fault`]: file, line, column, what was found, what to do.

mod check_graph;
mod checker;
mod config;
mod document;
mod encoder;
mod fault;
mod graph;
mod minimize;
mod modules;
mod parameters;
mod parts;
mod patterns;
mod stability;
mod text;
mod views;

use std::collections::BTreeMap;
use std::path::Path;

use tensor_ops::Device;

pub use self::config::{
    CheckpointConfig, LearningRateConfig, LearningRateScale, MomentumConfig, MomentumSchedule, Precision,
    Weights,
};
pub use self::encoder::{EncoderModules, EncoderPipeline};
pub use self::fault::{Color, Fault};
pub use self::graph::{Action, Graph, Step, Value};
pub use self::modules::{AnyModule, NamedModule};
pub use self::parameters::{ParameterSettings, Parameters, named, named_mut};
pub use self::parts::{Parts, PartsMethod, Pass};
pub use self::stability::{OnNonfinite, OnSpike, StabilityConfig};
pub use self::views::View;

use self::config::PipelineConfig;
use self::text::PipelineText;
use crate::checker::{Checked, Checker};
use plugin_api::{
    Dataset, DatasetContext, Monitor, MonitorContext, Optimizer, OptimizerContext, Schedule, ScheduleContext,
};

/// A checked pipeline: every plugin built, every shape known, no image read.
pub struct Pipeline {
    /// Names the run's folder.
    pub name: String,
    /// All random draws follow from it.
    pub seed: u64,
    /// The file's text with all overrides in it: run again, it gives the same run.
    pub text: String,
    /// Images in a step.
    pub batch: usize,
    /// The share of images that may be unreadable before the run stops, 0–1.
    pub max_unreadable: f64,
    /// Passes over the training images.
    pub epochs: usize,
    /// Where images come from.
    pub dataset: Box<dyn Dataset>,
    /// Every declared view.
    pub views: Vec<View>,
    /// The plugin of each module, by the module's name.
    pub module_plugins: BTreeMap<String, String>,
    /// What a step computes, and what trains it.
    pub network: Network,
    /// The momentum coefficient; `None` where no step uses momentum weights.
    pub momentum: Option<MomentumConfig>,
    /// Base and scale of the learning rate.
    pub learning_rate: LearningRateConfig,
    /// How the learning rate changes.
    pub schedule: Box<dyn Schedule>,
    /// What is measured, with each monitor's name.
    pub monitors: Vec<(String, Box<dyn Monitor>)>,
    /// When checkpoints are written and which are kept.
    pub checkpoint: CheckpointConfig,
    /// What is done when training becomes unstable.
    pub stability: StabilityConfig,
}

/// The part of a pipeline that an engine takes.
pub struct Network {
    /// What a step computes.
    pub graph: Graph,
    /// The modules of [`Graph::modules`], in that order.
    pub modules: Vec<NamedModule>,
    /// The copies that follow by exponential moving average: `Some` for the modules that have one.
    pub momentum_modules: Vec<Option<NamedModule>>,
    /// The update rule.
    pub optimizer: Box<dyn Optimizer>,
    /// How a step goes through its batch.
    pub parts: Parts,
    /// How values between the layers of a backbone are kept.
    pub precision: Precision,
    /// The parameters of all modules, and what is special about some.
    pub parameters: Parameters,
}

/// A pipeline that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: std::io::Error,
    },
    /// Something in it is wrong.
    #[error(transparent)]
    Fault(#[from] Box<Fault>),
}

impl Pipeline {
    /// Reads, overrides and checks the file at `path`.
    ///
    /// `overrides` are written `path.to.value=VALUE`.
    ///
    /// # Errors
    /// If the file cannot be read, or the first thing wrong in it.
    pub fn read(path: &Path, overrides: &[String], device: &Device) -> Result<Self, PipelineError> {
        let (origin, text) = read_text(path)?;
        Ok(Self::parse(&origin, &text, overrides, device)?)
    }

    /// Reads and checks the file at `path` that a run has kept of its pipeline.
    ///
    /// Fields that pipelines had when the run was started, and that mean nothing now, are left out.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_kept(path: &Path, device: &Device) -> Result<Self, PipelineError> {
        let (origin, text) = read_text(path)?;
        Ok(Self::parse_kept(&origin, &text, &[], device)?)
    }

    /// [`parse`](Self::parse) for a text that a run, a sweep or a checkpoint has kept, see [`read_kept`](Self::read_kept).
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn parse_kept(
        origin: &str,
        text: &str,
        overrides: &[String],
        device: &Device,
    ) -> Result<Self, Box<Fault>> {
        Self::parse(origin, &minimize::removed(text), overrides, device)
    }

    /// Checks the pipeline `text`, which messages call `origin`.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn parse(
        origin: &str,
        text: &str,
        overrides: &[String],
        device: &Device,
    ) -> Result<Self, Box<Fault>> {
        let checker = Checker::new(PipelineText::new(origin, text, overrides)?)?;
        minimize::check_gone(&checker)?;
        let config = read_config(&checker)?;
        check_numbers(&checker, &config)?;
        let views = views::check_views(&checker, &config)?;
        let kinds = modules::kinds(&checker, &config)?;
        let graph = check_graph::check_graph(&checker, &config, &kinds)?;
        let n_parts = parts::check_micro_batch(&checker, &config)?;
        let mut built = modules::build_modules(&checker, &config, &graph, &views, n_parts, device)?;
        let parts = parts::check_parts(&checker, n_parts, &graph, &built.modules)?;
        let parameters = parameters::check_parameters(&checker, &config, &mut built.modules)?;
        check_momentum(&checker, &config)?;
        let optimizer = checker.build::<dyn Optimizer>(&["optimizer"], &OptimizerContext)?;
        let schedule =
            checker.build::<dyn Schedule>(&["schedule"], &ScheduleContext { epochs: config.epochs })?;
        let monitors = check_monitors(&checker, &config, &views, &graph)?;
        views::check_all_used(&checker, &views, &graph, &monitors)?;
        let dataset =
            checker.build::<dyn Dataset>(&["data", "source"], &DatasetContext { seed: config.seed })?;
        check_best(&checker, &config, &monitors)?;
        let plugin_of = |module: &String| Ok((module.clone(), checker.plugin_at(&["modules", module])?.0));
        let module_plugins = config.modules.keys().map(plugin_of).collect::<Checked<_>>()?;
        Ok(Self {
            name: config.name,
            seed: config.seed,
            batch: config.data.batch,
            max_unreadable: config.data.max_unreadable,
            epochs: config.epochs,
            dataset,
            views,
            module_plugins,
            network: Network {
                graph,
                modules: built.modules,
                momentum_modules: built.momentum_modules,
                optimizer,
                parts,
                precision: config.precision,
                parameters,
            },
            momentum: config.momentum,
            learning_rate: config.learning_rate,
            schedule,
            monitors,
            checkpoint: config.checkpoint,
            stability: config.stability,
            text: checker.text.text,
        })
    }

    /// The plugin at `path` of the file: its name, and its config as it is written there. `None` if there is none.
    ///
    /// For what concerns a plugin, but not the plugin as this crate knows it: what export tells of a backbone.
    pub fn plugin(&self, path: &[&str]) -> Option<(String, String)> {
        let tree = document::Node::parse(&self.text).ok()?;
        let (name, config) = tree.find(path)?.plugin()?;
        Some((name.to_owned(), self.text[config.span.clone()].to_owned()))
    }

    /// The view called `name`.
    pub fn view(&self, name: &str) -> Option<&View> {
        self.views.iter().find(|view| view.name == name)
    }
}

/// How messages call the file at `path`, and its text.
fn read_text(path: &Path) -> Result<(String, String), PipelineError> {
    let origin = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((origin, text)),
        Err(reason) => Err(PipelineError::Unreadable { path: origin, reason }),
    }
}

fn read_config(checker: &Checker) -> Checked<PipelineConfig> {
    check_graph::check_weight_words(checker)?;
    plugin_api::parse_ron(&checker.text.text).map_err(|error| match &error {
        plugin_api::ConfigError::Parse { span, message, hint } => {
            checker.text.fault(span.clone(), message.clone(), hint.clone())
        }
        other => checker.text.fault(0..0, other.to_string(), None),
    })
}

fn check_numbers(checker: &Checker, config: &PipelineConfig) -> Checked<()> {
    let bad_letter = |letter: char| !(letter.is_ascii_alphanumeric() || "._-".contains(letter));
    if config.name.is_empty() {
        return Err(checker.fault(
            &["name"],
            "the pipeline has no name, but its runs need one",
            "for instance `name: \"mocov2\"`",
        ));
    }
    if config.name.starts_with('.') || config.name.contains(bad_letter) {
        return Err(checker.fault(
            &["name"],
            format!("`{}` cannot name a folder of runs", config.name),
            "use letters, digits, `-`, `_` and `.`",
        ));
    }
    if config.data.batch < 2 {
        return Err(checker.fault(
            &["data", "batch"],
            format!("the batch is {}, but batch statistics need at least 2 images", config.data.batch),
            "128 or 256 are usual",
        ));
    }
    if !(0.0..=1.0).contains(&config.data.max_unreadable) {
        return Err(checker.fault(
            &["data", "max_unreadable"],
            format!("`max_unreadable` is {}, but a share is from 0 to 1", config.data.max_unreadable),
            "0.1 lets one image in ten be broken",
        ));
    }
    if config.epochs == 0 {
        return Err(checker.fault(&["epochs"], "there is no epoch to train", "write 1 or more"));
    }
    let rate = &config.learning_rate;
    if !(rate.base.is_finite() && rate.base >= 0.0) {
        return Err(checker.fault(
            &["learning_rate", "base"],
            format!("the learning rate is {}, but it must be a number of 0 or more", rate.base),
            "0.03 is usual for SGD at batch 256",
        ));
    }
    if rate.scale == LearningRateScale::PerImages(0) {
        return Err(checker.fault(
            &["learning_rate", "scale"],
            "the learning rate is divided by 0 images",
            "the papers write `PerImages(256)`",
        ));
    }
    stability::check(checker, &config.stability)?;
    if config.checkpoint.keep == 0 {
        return Err(checker.fault(&["checkpoint", "keep"], "no checkpoint would be kept", "write 1 or more"));
    }
    if config.checkpoint.every_epochs == 0 {
        return Err(checker.fault(
            &["checkpoint", "every_epochs"],
            "checkpoints would be written every 0 epochs",
            "write 1 to save after each epoch",
        ));
    }
    if config.checkpoint.every_minutes.is_nan() || config.checkpoint.every_minutes <= 0.0 {
        return Err(checker.fault(
            &["checkpoint", "every_minutes"],
            format!("checkpoints would be written every {} minutes", config.checkpoint.every_minutes),
            "write a number above 0",
        ));
    }
    Ok(())
}

fn check_momentum(checker: &Checker, config: &PipelineConfig) -> Checked<()> {
    match &config.momentum {
        Some(momentum) if !(0.0..=1.0).contains(&momentum.start) => Err(checker.fault(
            &["momentum", "start"],
            format!("the momentum coefficient is {}, but it is a share from 0 to 1", momentum.start),
            "the papers use 0.999 (v1, v2) and 0.99 (v3)",
        )),
        Some(_) => Ok(()),
        None => match config.graph.iter().position(|step| step.weights == Weights::Momentum) {
            Some(step_idx) => Err(checker.fault(
                &["graph", &step_idx.to_string(), "weights"],
                "this step uses momentum weights, but the pipeline has no `momentum`",
                "add `momentum: (start: 0.999)` to the pipeline",
            )),
            None => Ok(()),
        },
    }
}

fn check_monitors(
    checker: &Checker,
    config: &PipelineConfig,
    views: &[View],
    graph: &Graph,
) -> Checked<Vec<(String, Box<dyn Monitor>)>> {
    let train_size =
        graph.views.iter().find_map(|name| views.iter().find(|view| view.name == *name)).map(|v| v.size);
    let mut monitors: Vec<(String, Box<dyn Monitor>)> = Vec::new();
    for (i, plugin) in config.monitor.iter().enumerate() {
        let path = ["monitor", &i.to_string()].map(str::to_owned);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let monitor = checker.build::<dyn Monitor>(&path, &MonitorContext)?;
        for name in monitor.views() {
            let Some(view) = views.iter().find(|view| view.name == name) else {
                let names: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
                return Err(checker.fault(
                    &path,
                    format!("the monitor `{}` looks through the view `{name}`, which is not declared", plugin.0),
                    format!(
                        "add `\"{name}\": [(\"resize\", ..), (\"center-crop\", ..), (\"normalize\", ..)]` to `views`, or name another of: {}",
                        names.join(", ")
                    ),
                ));
            };
            if train_size.is_some_and(|size| size != view.size) {
                return Err(checker.fault_at_name(
                    &["views", name],
                    format!(
                        "the view `{name}` gives images of {}, but the encoder trains on {}",
                        pixels(view.size),
                        pixels(train_size.unwrap_or_default())
                    ),
                    "give every view of one encoder the same size",
                ));
            }
        }
        monitors.push((plugin.0.clone(), monitor));
    }
    Ok(monitors)
}

fn check_best(
    checker: &Checker,
    config: &PipelineConfig,
    monitors: &[(String, Box<dyn Monitor>)],
) -> Checked<()> {
    let Some(best) = &config.checkpoint.best else { return Ok(()) };
    let named = checker.tree.find(&["checkpoint", "best"]).is_some();
    let metrics: Vec<&str> = monitors.iter().flat_map(|(_, monitor)| monitor.metrics()).copied().collect();
    if named && !metrics.contains(&best.as_str()) {
        return Err(checker.fault(
            &["checkpoint", "best"],
            format!("no monitor measures `{best}`"),
            plugin_api::suggest(best, &metrics),
        ));
    }
    Ok(())
}

/// `(H, W)` as messages write it.
pub(crate) fn pixels((height, width): (usize, usize)) -> String {
    format!("{width} × {height} px")
}
