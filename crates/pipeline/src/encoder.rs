//! The part of a pipeline that turns images into features.

use std::path::Path;

use tensor_ops::{Device, Precision};

use crate::checker::{Checked, Checker};
use crate::modules::{AnyModule, build_chain};
use crate::text::PipelineText;
use crate::views::{View, check_views};
use crate::{
    Fault, PipelineError, check_graph, check_numbers, minimize, modules, parts, read_config, read_text,
};
use plugin_api::{Dataset, DatasetContext, Level};

/// What is needed of a pipeline to use its trained encoder. Losses, momentum copies and the optimizer are not built.
pub struct EncoderPipeline {
    /// Names the run's folder.
    pub name: String,
    /// The seed, for views that draw.
    pub seed: u64,
    /// Images in a step of training.
    pub batch: usize,
    /// The share of images that may be unreadable, 0–1.
    pub max_unreadable: f64,
    /// Where the images came from.
    pub dataset: Box<dyn Dataset>,
    /// Every declared view.
    pub views: Vec<View>,
    /// The plugins of all modules, by the modules' names in order.
    pub module_plugins: Vec<String>,
    /// What images pass through, with its initial values.
    pub modules: EncoderModules,
    /// How values between the layers of the backbone are kept.
    pub precision: Precision,
    /// Whether each of the modules has a momentum copy.
    pub has_momentum: bool,
}

/// Modules in the order in which images pass through them.
pub struct EncoderModules {
    /// Each with its name in the pipeline.
    pub modules: Vec<(String, AnyModule)>,
    /// Indices into `modules`; the first is that of the backbone.
    pub chain: Vec<usize>,
}

impl EncoderPipeline {
    /// Reads the file at `path` that a run has kept of its pipeline, and builds the modules that give features of `level`.
    ///
    /// # Errors
    /// If the file cannot be read, or the first thing wrong in what is needed of it.
    pub fn read(path: &Path, level: Level, device: &Device) -> Result<Self, PipelineError> {
        let (origin, text) = read_text(path)?;
        Ok(Self::parse(&origin, &text, level, device)?)
    }

    /// The same from the pipeline `text`, which messages call `origin`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(origin: &str, text: &str, level: Level, device: &Device) -> Result<Self, Box<Fault>> {
        let checker = Checker::new(PipelineText::new(origin, &minimize::removed(text), &[])?)?;
        minimize::check_gone(&checker)?;
        let config = read_config(&checker)?;
        check_numbers(&checker, &config)?;
        let views = check_views(&checker, &config)?;
        let kinds = modules::kinds(&checker, &config)?;
        let graph = check_graph::check_graph(&checker, &config, &kinds)?;
        let n_parts = parts::check_micro_batch(&checker, &config)?;
        let (step_idx, wanted) = graph.encoder(level);
        let copied = graph.momentum_modules();
        let has_momentum = wanted.iter().all(|module| copied.contains(module));
        let modules = build_chain(&checker, &config, &graph, &views, n_parts, device, step_idx, wanted)?;
        let dataset =
            checker.build::<dyn Dataset>(&["data", "source"], &DatasetContext { seed: config.seed })?;
        let plugin_of = |module: &String| Ok(checker.plugin_at(&["modules", module])?.0);
        let module_plugins = config.modules.keys().map(plugin_of).collect::<Checked<_>>()?;
        Ok(Self {
            name: config.name,
            seed: config.seed,
            batch: config.data.batch,
            max_unreadable: config.data.max_unreadable,
            dataset,
            views,
            module_plugins,
            modules,
            precision: config.precision.into(),
            has_momentum,
        })
    }

    /// The view called `name`.
    pub fn view(&self, name: &str) -> Option<&View> {
        self.views.iter().find(|view| view.name == name)
    }
}
