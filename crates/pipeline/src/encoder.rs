//! The part of a pipeline that turns images into features.

use std::collections::BTreeMap;
use std::path::Path;

use tensor_ops::Precision;

use crate::base;
use crate::build_plan::BuildPlan;
use crate::error::PipelineError;
use crate::graph::{Chain, ModuleId};
use crate::ids::{HeadId, Table};
use crate::minimize;
use crate::modules::{Named, NamedModule, NamedModuleMut};
use crate::outline::Outline;
use crate::row_shape::RowShape;
use crate::site::Site;
use crate::views::{Needed, View};
use pipeline_text::Checked;
use pipeline_text::Fault;
use pipeline_text::PipelineText;
use plugin_api::{Backbone, Dataset, Head, Level};

/// What is needed of a pipeline to use its trained encoder.
///
/// Losses, momentum copies and the optimizer are not built. The plugins of losses, of the dataset and of the views that are
/// trained on need not be linked in.
pub struct EncoderPipeline {
    /// Names the run's folder.
    pub name: String,
    /// The seed, for views that draw.
    pub seed: u64,
    /// Images in a step of training.
    pub batch: usize,
    /// The share of images that may be unreadable, 0–1.
    pub max_unreadable: f64,
    /// Where the images came from; or why it cannot be told, for instance because its plugin is not linked in.
    pub dataset: Result<Box<dyn Dataset>, Box<Fault>>,
    /// The views that can be built.
    pub views: Vec<View>,
    /// `(H, W)` of the images that the encoder is trained on, in pixels.
    pub trained_size: (usize, usize),
    /// Channels of these images: 3 for RGB.
    pub channels: usize,
    /// The plugins of all modules, by the modules' names in order.
    pub module_plugins: Vec<String>,
    /// What is wrong with the other views, by name.
    pub view_faults: Vec<(String, Box<Fault>)>,
    /// What images pass through, with its initial values.
    pub modules: EncoderModules,
    /// How values between the layers of the backbone are kept.
    pub precision: Precision,
    /// Whether each of the modules has a momentum copy.
    pub has_momentum: bool,
}

/// Modules that images pass through.
pub struct EncoderModules {
    /// The first.
    pub backbone: Named<Box<dyn Backbone>>,
    /// What follows it.
    pub heads: Table<HeadId, Named<Box<dyn Head>>>,
    /// In which order: ids of `heads`.
    pub chain: Vec<HeadId>,
}

impl EncoderModules {
    /// Builds the modules of `chain`, and nothing else.
    fn build(plan: BuildPlan<'_>, chain: Chain<'_>) -> Checked<Self> {
        let backbone = plan.backbone(chain.backbone, plan.view_images[chain.view])?;
        let mut width = backbone.module.n_features();
        let mut this = Self { backbone, heads: Table::default(), chain: Vec::new() };
        let mut places = BTreeMap::new();
        for head in chain.heads {
            let place = match places.get(head) {
                Some(place) => *place,
                None => this.heads.push(plan.head(*head, RowShape::features(width))?),
            };
            places.insert(head, place);
            width = this.heads[place].module.n_outputs();
            this.chain.push(place);
        }
        Ok(this)
    }

    /// The width of what comes out.
    pub fn n_features(&self) -> usize {
        match self.chain.last() {
            Some(head) => self.heads[*head].module.n_outputs(),
            None => self.backbone.module.n_features(),
        }
    }

    /// Each module once.
    pub fn named(&self) -> Vec<NamedModule<'_>> {
        let backbone: NamedModule<'_> = (&self.backbone.name, &*self.backbone.module);
        let heads = self.heads.iter().map(|named| -> NamedModule<'_> { (&named.name, &*named.module) });
        [backbone].into_iter().chain(heads).collect()
    }

    /// As [`named`](Self::named), to change them.
    pub fn named_mut(&mut self) -> Vec<NamedModuleMut<'_>> {
        let backbone: NamedModuleMut<'_> = (&self.backbone.name, &mut *self.backbone.module);
        let heads = self.heads.iter_mut();
        let heads = heads.map(|named| -> NamedModuleMut<'_> { (&named.name, &mut *named.module) });
        [backbone].into_iter().chain(heads).collect()
    }
}

impl EncoderPipeline {
    /// Reads the file at `path` that a run has kept of its pipeline, and builds the modules that give features of `level`.
    ///
    /// # Errors
    /// If the file cannot be read, or the first thing wrong in what is needed of it.
    pub fn read(path: &Path, level: Level, site: impl Into<Site>) -> Result<Self, PipelineError> {
        Ok(Self::check(base::read(path)?, level, site.into())?)
    }

    /// The same from the pipeline `text`, which messages call `origin`.
    ///
    /// # Errors
    /// The first thing wrong in what is needed of it.
    pub fn parse(origin: &str, text: &str, level: Level, site: impl Into<Site>) -> Result<Self, Box<Fault>> {
        Self::check(base::without_file(origin, text)?, level, site.into())
    }

    fn check(mut text: PipelineText, level: Level, site: Site) -> Checked<Self> {
        minimize::remove(&mut text);
        let outline = Outline::check(text, Needed::Encoder, &site.moved)?;
        let images = outline.view_images();
        let chain = outline.graph.features(level);
        // Images that are not trained on go through whole.
        let plan = BuildPlan { n_parts: 1, ..outline.build_plan(&images, &site) };
        let trained = images[outline.graph.trained_view(|view| images[view].n_pixels())];
        let modules = EncoderModules::build(plan, chain)?;
        let has_copy = |module| outline.graph.has_copy(module);
        let has_momentum = has_copy(ModuleId::Backbone(chain.backbone))
            && chain.heads.iter().all(|head| has_copy(ModuleId::Head(*head)));
        let Outline { checker, config, views, dataset, .. } = outline;
        let plugin_of = |module: &String| Ok(checker.plugin_at(&["modules", module])?.0);
        let module_plugins = config.modules.keys().map(plugin_of).collect::<Checked<_>>()?;
        Ok(Self {
            name: config.name,
            seed: config.seed,
            batch: config.data.batch,
            max_unreadable: config.data.max_unreadable,
            dataset,
            views: views.built,
            trained_size: trained.size,
            channels: trained.channels,
            view_faults: views.faults,
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
