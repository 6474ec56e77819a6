//! The whole of a pipeline, checked.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base;
use crate::build::build_modules;
use crate::check_monitors::{Measured, check_best, check_early_stopping, check_monitors};
use crate::check_numbers::check_momentum;
use crate::check_plugins::{check_entry_names, check_slots};
use crate::check_schedule::check_schedule;
use crate::config::{
    CheckpointConfig, EarlyStoppingConfig, LearningRateConfig, MomentumConfig, PipelineConfig, Precision,
};
use crate::error::PipelineError;
use crate::graph::Graph;
use crate::minimize;
use crate::modules::{Modules, MomentumModules};
use crate::moved::Moved;
use crate::outline::Outline;
use crate::parameters::{self, Parameters};
use crate::parts::{self, Parts};
use crate::plugin_word;
use crate::ramps::{Ramp, check_ramps};
use crate::site::Site;
use crate::stability::StabilityConfig;
use crate::views::{self, Needed, View};
use pipeline_text::Checked;
use pipeline_text::Fault;
use pipeline_text::Node;
use pipeline_text::PipelineText;
use plugin_api::{Dataset, Monitor, Optimizer, OptimizerContext, Schedule};

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
    /// `(H, W)` of the images that the encoder is trained on, in pixels; it may be measured at another.
    pub trained_size: (usize, usize),
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
    /// Whether the run ends early if a metric gets no better.
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// When checkpoints are written and which are kept.
    pub checkpoint: CheckpointConfig,
    /// What is done when training becomes unstable.
    pub stability: StabilityConfig,
    /// Where images are now, of a pipeline that a run has kept; `text` has their old places.
    pub moved: Moved,
    /// Where everything stands in `text`.
    tree: Node,
}

/// The part of a pipeline that an engine takes.
pub struct Network {
    /// What a step computes.
    pub graph: Graph,
    /// What is trained.
    pub modules: Modules,
    /// The copies that follow by exponential moving average.
    pub momentum_modules: MomentumModules,
    /// The update rule.
    pub optimizer: Box<dyn Optimizer>,
    /// How a step goes through its batch.
    pub parts: Parts,
    /// How values between the layers of a backbone are kept.
    pub precision: Precision,
    /// The parameters of all modules, and what is special about some.
    pub parameters: Parameters,
    /// Numbers of the optimizer and of losses that change while training.
    pub ramps: Vec<Ramp>,
}

impl Pipeline {
    /// Reads, overrides and checks the file at `path`.
    ///
    /// `overrides` are written `path.to.value=VALUE`. `site` is a device, or that and the processes that train on it.
    ///
    /// # Errors
    /// If the file cannot be read, or the first thing wrong in it.
    pub fn read(path: &Path, overrides: &[String], site: impl Into<Site>) -> Result<Self, PipelineError> {
        Ok(Self::check(base::read(path)?, overrides, Needed::All, site.into())?)
    }

    /// Reads and checks the file at `path` that a run has kept of its pipeline.
    ///
    /// Fields that pipelines had when the run was started, and that mean nothing now, are left out.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_kept(path: &Path, site: impl Into<Site>) -> Result<Self, PipelineError> {
        let mut text = base::read(path)?;
        minimize::remove(&mut text);
        Ok(Self::check(text, &[], Needed::Kept, site.into())?)
    }

    /// Checks the pipeline `text`, which messages call `origin`. It cannot start from a file.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn parse(
        origin: &str,
        text: &str,
        overrides: &[String],
        site: impl Into<Site>,
    ) -> Result<Self, Box<Fault>> {
        Self::check(base::without_file(origin, text)?, overrides, Needed::All, site.into())
    }

    /// [`parse`](Self::parse) for a text that a run, a sweep or a checkpoint has kept, see [`read_kept`](Self::read_kept).
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn parse_kept(
        origin: &str,
        text: &str,
        overrides: &[String],
        site: impl Into<Site>,
    ) -> Result<Self, Box<Fault>> {
        let mut text = base::without_file(origin, text)?;
        minimize::remove(&mut text);
        Self::check(text, overrides, Needed::Kept, site.into())
    }

    /// Checks a pipeline that a program has built, as [`parse`](Self::parse) checks the text of a file that says the same:
    /// what is wrong is shown in this text.
    ///
    /// # Errors
    /// If it cannot be written, or the first thing wrong.
    pub fn from_config(config: &PipelineConfig, site: impl Into<Site>) -> Result<Self, PipelineError> {
        let origin = format!("the pipeline `{}`", config.name);
        Ok(Self::parse(&origin, &config.to_ron()?, &[], site)?)
    }

    fn check(mut text: PipelineText, overrides: &[String], needed: Needed, site: Site) -> Checked<Self> {
        for argument in overrides {
            plugin_word::set(&mut text, argument)?;
        }
        let mut outline = Outline::check(text, needed, &site.moved)?;
        if site.has_whole_batches {
            outline.n_parts = 1;
        }
        let images = outline.view_images();
        let (mut modules, momentum_modules) = build_modules(outline.build_plan(&images, &site))?;
        let Outline { checker, config, views, graph, dataset, n_parts } = outline;
        let parts = parts::check_parts(&checker, n_parts, &graph, &modules)?;
        let parameters = parameters::check_parameters(&checker, &config, &mut modules)?;
        check_momentum(&checker, &config)?;
        check_entry_names(&checker, &modules)?;
        let mut optimizer = checker.build::<dyn Optimizer>(&["optimizer"], &OptimizerContext)?;
        check_slots(&checker, &*optimizer)?;
        let ramps = check_ramps(&checker, &config, &graph, &mut *optimizer, &mut modules.losses)?;
        let schedule = check_schedule(&checker, config.epochs)?;
        let encoder = graph.encoder();
        let trained = images[graph.trained_view(|view| images[view].n_pixels())];
        let backbone = &*modules.encoders.backbones[encoder.backbone].module;
        let channels = dataset.as_ref().ok().map(|dataset| dataset.channels());
        let measured = Measured { backbone, images: trained, channels, moved: &site.moved };
        let monitors = check_monitors(&checker, &config, &views, measured)?;
        views::check_all_used(&checker, &views, &graph, &monitors)?;
        let dataset = dataset?;
        check_best(&checker, &config, &monitors)?;
        check_early_stopping(&checker, &config, &monitors)?;
        let plugin_of = |module: &String| Ok((module.clone(), checker.plugin_at(&["modules", module])?.0));
        let module_plugins = config.modules.keys().map(plugin_of).collect::<Checked<_>>()?;
        Ok(Self {
            name: config.name,
            seed: config.seed,
            batch: config.data.batch,
            max_unreadable: config.data.max_unreadable,
            epochs: config.epochs,
            dataset,
            views: views.built,
            trained_size: trained.size,
            module_plugins,
            network: Network {
                graph,
                modules,
                momentum_modules,
                optimizer,
                parts,
                precision: config.precision,
                parameters,
                ramps,
            },
            momentum: config.momentum,
            learning_rate: config.learning_rate,
            schedule,
            monitors,
            early_stopping: config.early_stopping,
            checkpoint: config.checkpoint,
            stability: config.stability,
            text: checker.text.text,
            moved: site.moved,
            tree: checker.text.tree,
        })
    }

    /// The plugin at `path` of the file: its name, and its config as it is written there. `None` if there is none.
    ///
    /// For what concerns a plugin, but not the plugin as this crate knows it: what export tells of a backbone.
    pub fn plugin(&self, path: &[&str]) -> Option<(String, String)> {
        let (name, config) = self.tree.find(path)?.plugin()?;
        Some((name.to_owned(), self.text[config.span.clone()].to_owned()))
    }

    /// The view called `name`.
    pub fn view(&self, name: &str) -> Option<&View> {
        self.views.iter().find(|view| view.name == name)
    }
}

/// The text of the file at `path`, with what it starts from in it: it stands alone, wherever it is kept.
///
/// # Errors
/// If the file cannot be read, is not RON, or has a base that cannot be used.
pub fn standalone_text(path: &Path) -> Result<String, PipelineError> {
    Ok(base::read(path)?.text)
}
