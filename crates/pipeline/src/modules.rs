//! Modules, by kind and by the weights that they have.

use std::collections::BTreeMap;

use crate::check_graph::ModuleKind;
use crate::checker::Checker;
use crate::config::PipelineConfig;
use crate::graph::ModuleId;
use crate::ids::{BackboneCopyId, BackboneId, HeadCopyId, HeadId, Id, LossId, Table};
use crate::loss_module::LossModule;
use crate::views::Needed;
use pipeline_text::Checked;
use plugin_api::{Backbone, ContrastiveLoss, Head, Module, Objective};

/// Kinds of plugins that are modules.
pub(crate) const MODULE_KINDS: [&str; 4] = ["backbone", "head", "loss", "objective"];

/// A module and its name in the pipeline.
pub struct Named<M> {
    /// Its name in the file.
    pub name: String,
    /// The module.
    pub module: M,
}

/// A module of any kind after its name in the pipeline, as [`ByName`](plugin_api::ByName) takes it.
pub type NamedModule<'a> = (&'a str, &'a dyn Module);

/// As [`NamedModule`], to change it.
pub type NamedModuleMut<'a> = (&'a str, &'a mut dyn Module);

/// What encodes, with one set of weights.
pub struct Encoders<B, H> {
    /// Images to features.
    pub backbones: Table<B, Named<Box<dyn Backbone>>>,
    /// Features to embeddings.
    pub heads: Table<H, Named<Box<dyn Head>>>,
}

/// The copies that follow by exponential moving average.
pub type MomentumModules = Encoders<BackboneCopyId, HeadCopyId>;

/// What is trained, losses included.
pub struct Modules {
    /// What encodes.
    pub encoders: Encoders<BackboneId, HeadId>,
    /// What compares.
    pub losses: Table<LossId, Named<LossModule>>,
    /// All of them in the order in which they are visited.
    pub order: Vec<ModuleId>,
}

impl Modules {
    /// How many there are.
    pub fn n_modules(&self) -> usize {
        self.order.len()
    }

    /// All modules, in the order in which they are visited.
    pub fn named(&self) -> Vec<NamedModule<'_>> {
        let named = |module: &ModuleId| -> NamedModule<'_> {
            match *module {
                ModuleId::Backbone(id) => backbone(&self.encoders.backbones[id]),
                ModuleId::Head(id) => head(&self.encoders.heads[id]),
                ModuleId::Loss(id) => (&self.losses[id].name, self.losses[id].module.module()),
            }
        };
        self.order.iter().map(named).collect()
    }

    /// As [`named`](Self::named), to change them.
    pub fn named_mut(&mut self) -> Vec<NamedModuleMut<'_>> {
        let Self { encoders, losses, order } = self;
        let mut backbones = encoders.backbones.iter_mut();
        let mut heads = encoders.heads.iter_mut();
        let mut losses = losses.iter_mut();
        // Modules of one kind have their ids in this order.
        let next = |module: &ModuleId| match module {
            ModuleId::Backbone(_) => backbones.next().map(backbone_mut),
            ModuleId::Head(_) => heads.next().map(head_mut),
            ModuleId::Loss(_) => {
                losses.next().map(|Named { name, module }| (name.as_str(), module.module_mut()))
            }
        };
        order.iter().filter_map(next).collect()
    }
}

impl<B: Id, H: Id> Encoders<B, H> {
    /// All modules: backbones, then heads.
    pub fn named(&self) -> Vec<NamedModule<'_>> {
        self.backbones.iter().map(backbone).chain(self.heads.iter().map(head)).collect()
    }

    /// As [`named`](Self::named), to change them.
    pub fn named_mut(&mut self) -> Vec<NamedModuleMut<'_>> {
        self.backbones.iter_mut().map(backbone_mut).chain(self.heads.iter_mut().map(head_mut)).collect()
    }
}

impl Encoders<BackboneId, HeadId> {
    /// What copies follow: the modules that `backbones` and `heads` name, in the order of [`named`](Encoders::named).
    pub fn of(
        &self,
        backbones: &Table<BackboneCopyId, BackboneId>,
        heads: &Table<HeadCopyId, HeadId>,
    ) -> Vec<NamedModule<'_>> {
        let backbones = backbones.iter().map(|&id| backbone(&self.backbones[id]));
        backbones.chain(heads.iter().map(|&id| head(&self.heads[id]))).collect()
    }
}

fn backbone(named: &Named<Box<dyn Backbone>>) -> NamedModule<'_> {
    (&named.name, &*named.module)
}

fn head(named: &Named<Box<dyn Head>>) -> NamedModule<'_> {
    (&named.name, &*named.module)
}

fn backbone_mut(named: &mut Named<Box<dyn Backbone>>) -> NamedModuleMut<'_> {
    (&named.name, &mut *named.module)
}

fn head_mut(named: &mut Named<Box<dyn Head>>) -> NamedModuleMut<'_> {
    (&named.name, &mut *named.module)
}

/// Whether a step runs `module` alone on several values, as losses are run.
fn compares(config: &PipelineConfig, module: &str) -> bool {
    config.graph.iter().any(|step| step.run == [module] && step.on.len() >= 2)
}

/// What each declared module is.
pub(crate) fn kinds(
    checker: &Checker,
    config: &PipelineConfig,
    needed: Needed,
) -> Checked<BTreeMap<String, ModuleKind>> {
    let mut kinds = BTreeMap::new();
    for name in config.modules.keys() {
        let (plugin_name, name_span, _) = checker.plugin_at(&["modules", name])?;
        let kind = if plugin_api::find::<dyn Backbone>(&plugin_name).is_some() {
            ModuleKind::Backbone
        } else if plugin_api::find::<dyn Head>(&plugin_name).is_some() {
            ModuleKind::Head
        } else if plugin_api::find::<dyn ContrastiveLoss>(&plugin_name).is_some() {
            ModuleKind::Contrast
        } else if plugin_api::find::<dyn Objective>(&plugin_name).is_some()
            || (needed == Needed::Encoder && compares(config, name))
        {
            // A loss that is not linked in is not built, and an objective may be on anything.
            ModuleKind::Objective
        } else {
            let names: Vec<&str> = plugin_api::all_plugins()
                .iter()
                .filter(|plugin| MODULE_KINDS.contains(&plugin.kind))
                .map(|plugin| plugin.name)
                .collect();
            return Err(checker.text.fault(
                name_span,
                format!("no backbone, head, loss or objective plugin is named `{plugin_name}`"),
                Some(plugin_api::suggest_plugin(&plugin_name, &names)),
            ));
        };
        kinds.insert(name.clone(), kind);
    }
    Ok(kinds)
}
