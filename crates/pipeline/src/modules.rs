//! Building the modules, each told the width of what comes in.

use std::collections::BTreeMap;

use tensor_ops::Device;

use crate::check_graph::ModuleKind;
use crate::checker::{Checked, Checker};
use crate::config::PipelineConfig;
use crate::encoder::EncoderModules;
use crate::graph::{Action, Graph, Value};
use crate::pixels;
use crate::views::View;
use plugin_api::{
    self, Backbone, ContrastiveLoss, Head, LossContext, Module, ModuleContext, Visitor, VisitorMut,
};

/// A module of any kind.
pub enum AnyModule {
    /// Images to features.
    Backbone(Box<dyn Backbone>),
    /// Features to embeddings.
    Head(Box<dyn Head>),
    /// A loss.
    Loss(Box<dyn ContrastiveLoss>),
}

/// A module and its name in the pipeline.
pub struct NamedModule {
    /// Its name in the file.
    pub name: String,
    /// The module.
    pub module: AnyModule,
}

impl Module for AnyModule {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        match self {
            Self::Backbone(module) => module.visit(visitor),
            Self::Head(module) => module.visit(visitor),
            Self::Loss(module) => module.visit(visitor),
        }
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        match self {
            Self::Backbone(module) => module.visit_mut(visitor),
            Self::Head(module) => module.visit_mut(visitor),
            Self::Loss(module) => module.visit_mut(visitor),
        }
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        match self {
            Self::Backbone(module) => module.batch_norm_splits(),
            Self::Head(module) => module.batch_norm_splits(),
            Self::Loss(module) => module.batch_norm_splits(),
        }
    }
}

/// The modules of a graph, in its order.
pub(crate) struct Built {
    pub(crate) modules: Vec<NamedModule>,
    pub(crate) momentum_modules: Vec<Option<NamedModule>>,
}

/// What each declared module is.
pub(crate) fn kinds(checker: &Checker, config: &PipelineConfig) -> Checked<BTreeMap<String, ModuleKind>> {
    let mut kinds = BTreeMap::new();
    for name in config.modules.keys() {
        let (plugin_name, name_span, _) = checker.plugin_at(&["modules", name])?;
        let kind = if plugin_api::find::<dyn Backbone>(&plugin_name).is_some() {
            ModuleKind::Backbone
        } else if plugin_api::find::<dyn Head>(&plugin_name).is_some() {
            ModuleKind::Head
        } else if plugin_api::find::<dyn ContrastiveLoss>(&plugin_name).is_some() {
            ModuleKind::Loss
        } else {
            let names: Vec<&str> = plugin_api::all_plugins()
                .iter()
                .filter(|plugin| ["backbone", "head", "loss"].contains(&plugin.kind))
                .map(|plugin| plugin.name)
                .collect();
            return Err(checker.text.fault(
                name_span,
                format!("no backbone, head or loss plugin is named `{plugin_name}`"),
                Some(plugin_api::suggest(&plugin_name, &names)),
            ));
        };
        kinds.insert(name.clone(), kind);
    }
    Ok(kinds)
}

/// What a step gives.
#[derive(Clone, Copy)]
struct Width {
    n_features: usize,
}

/// Builds every module of `graph`, following widths from the views to the losses.
pub(crate) fn build_modules(
    checker: &Checker,
    config: &PipelineConfig,
    graph: &Graph,
    views: &[View],
    n_parts: usize,
    device: &Device,
) -> Checked<Built> {
    let mut builder = Builder::new(checker, config, graph, views, n_parts, device);
    for step_idx in 0..graph.steps.len() {
        builder.step(step_idx)?;
    }
    builder.check_shuffles()?;
    builder.finish()
}

/// Builds the modules `wanted` of the step at `step_idx`, which is on a view, and nothing else.
#[expect(clippy::too_many_arguments, reason = "what a pipeline's checks hand on, and what is wanted of it")]
pub(crate) fn build_chain(
    checker: &Checker,
    config: &PipelineConfig,
    graph: &Graph,
    views: &[View],
    n_parts: usize,
    device: &Device,
    step_idx: usize,
    wanted: &[usize],
) -> Checked<EncoderModules> {
    let mut builder = Builder::new(checker, config, graph, views, n_parts, device);
    let mut input = match graph.steps[step_idx].action {
        Action::Encode { input: Value::View(view), .. } => Input::Images(builder.view_size(view)),
        _ => unreachable!("an encoder's step is on a view"),
    };
    for (position, module) in wanted.iter().enumerate() {
        input = Input::Features(builder.encoder_part(step_idx, position, *module, input)?);
    }
    let mut encoder = EncoderModules { modules: Vec::new(), chain: Vec::new() };
    let mut places = BTreeMap::new();
    for module in wanted {
        if let Some(built) = builder.modules[*module].take() {
            places.insert(*module, encoder.modules.len());
            encoder.modules.push((graph.modules[*module].clone(), built));
        }
        encoder.chain.push(places[module]);
    }
    Ok(encoder)
}

struct Builder<'a> {
    checker: &'a Checker,
    config: &'a PipelineConfig,
    graph: &'a Graph,
    views: &'a [View],
    n_parts: usize,
    device: &'a Device,
    modules: Vec<Option<AnyModule>>,
    /// What each built module was built for.
    inputs: Vec<Option<Input>>,
    /// What each step gives; `None` for losses.
    widths: Vec<Option<Width>>,
}

/// What a module takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Images((usize, usize)),
    Features(usize),
}

impl<'a> Builder<'a> {
    fn new(
        checker: &'a Checker,
        config: &'a PipelineConfig,
        graph: &'a Graph,
        views: &'a [View],
        n_parts: usize,
        device: &'a Device,
    ) -> Self {
        Self {
            checker,
            config,
            graph,
            views,
            n_parts,
            device,
            modules: graph.modules.iter().map(|_| None).collect(),
            inputs: vec![None; graph.modules.len()],
            widths: Vec::new(),
        }
    }
}

impl Builder<'_> {
    fn step(&mut self, step_idx: usize) -> Checked<()> {
        let width = match &self.graph.steps[step_idx].action {
            Action::Encode { modules, input, .. } => {
                let mut input = match *input {
                    Value::View(view) => Input::Images(self.view_size(view)),
                    Value::Step(from) => Input::Features(self.width(from)),
                };
                for (position, module) in modules.iter().enumerate() {
                    let n_features = self.encoder_part(step_idx, position, *module, input)?;
                    input = Input::Features(n_features);
                }
                match input {
                    Input::Features(n_features) => Some(Width { n_features }),
                    Input::Images(_) => None,
                }
            }
            Action::Loss { module, queries, keys, .. } => {
                self.loss(step_idx, *module, *queries, *keys)?;
                None
            }
        };
        self.widths.push(width);
        Ok(())
    }

    fn view_size(&self, view: usize) -> (usize, usize) {
        let name = &self.graph.views[view];
        self.views.iter().find(|view| view.name == *name).map_or((0, 0), |view| view.size)
    }

    fn width(&self, step: usize) -> usize {
        self.widths[step].map_or(0, |width| width.n_features)
    }

    fn encoder_part(
        &mut self,
        step_idx: usize,
        position: usize,
        module: usize,
        input: Input,
    ) -> Checked<usize> {
        if let Some(known) = self.inputs[module] {
            self.check_same_input(step_idx, position, module, known, input)?;
        } else {
            let built = self.build(module, input)?;
            self.modules[module] = Some(built);
            self.inputs[module] = Some(input);
        }
        Ok(match &self.modules[module] {
            Some(AnyModule::Backbone(backbone)) => backbone.n_features(),
            Some(AnyModule::Head(head)) => head.n_outputs(),
            Some(AnyModule::Loss(_)) | None => 0,
        })
    }

    fn check_same_input(
        &self,
        step_idx: usize,
        position: usize,
        module: usize,
        known: Input,
        input: Input,
    ) -> Checked<()> {
        if known == input {
            return Ok(());
        }
        let show = |input: Input| match input {
            Input::Images(size) => format!("images of {}", pixels(size)),
            Input::Features(n) => format!("{n} features"),
        };
        let path = ["graph".to_owned(), step_idx.to_string(), "run".to_owned(), position.to_string()];
        Err(self.checker.fault_at(
            &path,
            format!(
                "`{}` takes {} in an earlier step, and {} here",
                self.graph.modules[module],
                show(known),
                show(input)
            ),
            "give it the same everywhere, or declare a second module",
        ))
    }

    /// Builds an encoder part. Initial values depend on seed and name alone, so a second call gives an equal one.
    fn build(&self, module: usize, input: Input) -> Checked<AnyModule> {
        let name = &self.graph.modules[module];
        let path = ["modules", name.as_str()];
        let (image_size, n_inputs) = match input {
            Input::Images(size) => (size, 3),
            Input::Features(n) => (self.view_size(0), n),
        };
        let context = ModuleContext {
            device: self.device.clone(),
            n_inputs,
            image_size,
            batch: self.config.data.batch,
            parts: self.n_parts,
            seed: self.config.seed,
            name: name.clone(),
        };
        Ok(match input {
            Input::Images(_) => AnyModule::Backbone(self.checker.build::<dyn Backbone>(&path, &context)?),
            Input::Features(_) => AnyModule::Head(self.checker.build::<dyn Head>(&path, &context)?),
        })
    }

    fn loss(&mut self, step_idx: usize, module: usize, queries: usize, keys: usize) -> Checked<()> {
        let n_inputs = self.width(queries);
        if n_inputs != self.width(keys) {
            let path = ["graph".to_owned(), step_idx.to_string(), "on".to_owned()];
            return Err(self.checker.fault_at(
                &path,
                format!(
                    "queries `{}` have {n_inputs} features, but keys `{}` have {}",
                    self.graph.steps[queries].id,
                    self.graph.steps[keys].id,
                    self.width(keys)
                ),
                "queries and keys need heads of the same width",
            ));
        }
        let input = Input::Features(n_inputs);
        if let Some(known) = self.inputs[module] {
            return self.check_same_input(step_idx, 0, module, known, input);
        }
        let name = &self.graph.modules[module];
        let context = LossContext {
            device: self.device.clone(),
            n_inputs,
            batch: self.config.data.batch,
            keys_per_step: self.config.data.batch * self.graph.key_steps(module).len(),
            seed: self.config.seed,
            name: name.clone(),
        };
        let built = self.checker.build::<dyn ContrastiveLoss>(&["modules", name], &context)?;
        self.modules[module] = Some(AnyModule::Loss(built));
        self.inputs[module] = Some(input);
        Ok(())
    }

    /// A shuffle changes nothing unless batch statistics are taken over parts of the batch.
    fn check_shuffles(&self) -> Checked<()> {
        for (step_idx, step) in self.graph.steps.iter().enumerate() {
            let Action::Encode { modules, shuffle_batch: true, .. } = &step.action else { continue };
            let splits = modules
                .iter()
                .filter_map(|module| self.modules[*module].as_ref().and_then(Module::batch_norm_splits))
                .max();
            if splits.unwrap_or(1) < 2 {
                let path = ["graph".to_owned(), step_idx.to_string(), "shuffle_batch".to_owned()];
                return Err(self.checker.fault_at(
                    &path,
                    "shuffling would do nothing: batch statistics are taken over the whole batch",
                    "set `batch_norm_splits: 8` on the backbone, or remove `shuffle_batch` (He et al. 2020, §3.3)",
                ));
            }
        }
        Ok(())
    }

    fn finish(self) -> Checked<Built> {
        let followers = self.graph.momentum_modules();
        let mut momentum_modules = Vec::new();
        for (module, name) in self.graph.modules.iter().enumerate() {
            let copy = match self.inputs[module] {
                Some(input) if followers.contains(&module) => {
                    Some(NamedModule { name: name.clone(), module: self.build(module, input)? })
                }
                _ => None,
            };
            momentum_modules.push(copy);
        }
        let modules = self
            .graph
            .modules
            .iter()
            .zip(self.modules)
            .filter_map(|(name, module)| Some(NamedModule { name: name.clone(), module: module? }))
            .collect();
        Ok(Built { modules, momentum_modules })
    }
}
