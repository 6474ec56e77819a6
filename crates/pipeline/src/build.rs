//! Building the modules, each told the width of what comes in.

use crate::build_plan::{BuildPlan, ViewImages};
use crate::check_graph::place;
use crate::check_passes::check_sizes_of_passes;
use crate::check_plugins::check_metric_names;
use crate::graph::{Encode, Graph, Input, LossInputs, ModuleId, StepId, ValueId};
use crate::ids::{BackboneId, HeadId, Id, KeyId, LossId, LossStepId, QueryId, Table};
use crate::loss_module::LossModule;
use crate::modules::{Encoders, Modules, MomentumModules, Named};
use crate::pixels;
use crate::row_shape::RowShape;
use pipeline_text::Checked;
use plugin_api::{ContrastiveLoss, InputOrigin, InputShape, LossContext, Objective, ObjectiveContext};
use tensor_ops::Mode;

/// Builds every module of the graph, following widths from the views to the losses, and the momentum copies.
pub(crate) fn build_modules(plan: BuildPlan<'_>) -> Checked<(Modules, MomentumModules)> {
    let mut builder = Builder::new(plan);
    for (i, step) in plan.graph.steps.iter().enumerate() {
        builder.step(i, *step)?;
    }
    builder.check_images()?;
    builder.check_shuffles()?;
    check_sizes_of_passes(plan.checker, plan.graph, plan.view_images)?;
    let copies = builder.copies()?;
    let Builder { encoders, losses, .. } = builder;
    Ok((Modules { encoders, losses, order: plan.graph.modules.clone() }, copies))
}

struct Builder<'a> {
    plan: BuildPlan<'a>,
    /// A module is built where it is first used, which is the order of ids.
    encoders: Encoders<BackboneId, HeadId>,
    losses: Table<LossId, Named<LossModule>>,
    /// What each was built for.
    images: Table<BackboneId, ViewImages>,
    head_inputs: Table<HeadId, RowShape>,
    loss_inputs: Table<LossId, LossShape>,
    /// What each step gives.
    queries: Table<QueryId, RowShape>,
    keys: Table<KeyId, RowShape>,
}

/// What a module takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Images(ViewImages),
    Rows(RowShape),
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Images(ViewImages { size, channels: 3 }) => write!(f, "images of {}", pixels(*size)),
            Self::Images(ViewImages { size, channels }) => {
                write!(f, "images of {} with {channels} channels", pixels(*size))
            }
            Self::Rows(rows) => rows.fmt(f),
        }
    }
}

/// What a loss was built for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LossShape {
    /// Queries and keys.
    Contrast(RowShape),
    /// The values of an objective.
    Values(Vec<InputShape>),
}

/// A step that starts from a view.
#[derive(Clone, Copy)]
struct OnView {
    backbone: BackboneId,
    images: ViewImages,
    is_key: bool,
}

impl<'a> Builder<'a> {
    fn new(plan: BuildPlan<'a>) -> Self {
        Self {
            plan,
            encoders: Encoders { backbones: Table::default(), heads: Table::default() },
            losses: Table::default(),
            images: Table::default(),
            head_inputs: Table::default(),
            loss_inputs: Table::default(),
            queries: Table::default(),
            keys: Table::default(),
        }
    }

    fn step(&mut self, i: usize, step: StepId) -> Checked<()> {
        let graph = self.plan.graph;
        match step {
            StepId::Query(id) => {
                let step = &graph.queries[id];
                let start = self.start(i, step, |backbone| backbone, |this, from| this.queries[from])?;
                let rows = self.heads(i, start, step.heads.iter().copied())?;
                self.queries.push(rows);
            }
            StepId::Key(id) => {
                let step = &graph.keys[id].encode;
                let trained = |copy| graph.backbone_copies[copy];
                let start = self.start(i, step, trained, |this, from| this.keys[from])?;
                let rows = self.heads(i, start, step.heads.iter().map(|head| graph.head_copies[*head]))?;
                self.keys.push(rows);
            }
            StepId::Loss(id) => self.loss(i, id)?,
        }
        Ok(())
    }

    /// Features and the place in `run` of what follows: after the backbone, or of the step before.
    fn start<B: Copy, H, S: Copy>(
        &mut self,
        i: usize,
        step: &Encode<B, H, S>,
        trained: impl Fn(B) -> BackboneId,
        rows: impl Fn(&Self, S) -> RowShape,
    ) -> Checked<(RowShape, usize)> {
        match step.input {
            Input::Step(from) => Ok((rows(self, from), 0)),
            Input::View { view, backbone } => {
                let (id, images) = (trained(backbone), self.plan.view_images[view]);
                // Several sizes are checked when all steps are known.
                if self.images.get(id.index()).is_none() {
                    let built = self.plan.backbone(id, images)?;
                    self.encoders.backbones.push(built);
                    self.images.push(images);
                }
                let module = &self.encoders.backbones[id].module;
                let n_features = module.n_features();
                if !step.gives_map {
                    return Ok((RowShape::features(n_features), 1));
                }
                let fault = |message: String, hint: &str| {
                    self.plan.checker.fault_at(&place(i, &["gives"]), message, hint)
                };
                let name = &self.plan.graph.backbones[id];
                match module.map_shape(images.size) {
                    Some(map) if map.n_values() > 0 => {
                        Ok((RowShape { width: n_features + map.n_values(), map: Some(map) }, 1))
                    }
                    Some(map) => Err(fault(
                        format!(
                            "the backbone `{name}` gives a map of {} x {} positions",
                            map.rows, map.columns
                        ),
                        "this is a fault of the plugin: its `map_shape` must give a map with values, or none",
                    )),
                    None => {
                        let unfit = module.check_image_size(images.size, Mode::Train).err();
                        let unfit = unfit.filter(|_| images.size != self.images[id].size);
                        Err(match unfit {
                            Some(error) => fault(
                                format!("`{name}` has no map of images of {}: {error}", pixels(images.size)),
                                error.hint().unwrap_or("give the view another size"),
                            ),
                            None => fault(
                                format!("the backbone `{name}` has no map to give"),
                                "remove `gives`, or use another backbone",
                            ),
                        })
                    }
                }
            }
        }
    }

    /// What comes out of `heads`.
    fn heads(
        &mut self,
        i: usize,
        (mut rows, first): (RowShape, usize),
        heads: impl Iterator<Item = HeadId>,
    ) -> Checked<RowShape> {
        for (j, id) in (first..).zip(heads) {
            match self.head_inputs.get(id.index()) {
                Some(known) => {
                    let takes_map = self.encoders.heads[id].module.takes_map();
                    let is_same =
                        !takes_map && rows.n_features() > 0 && known.n_features() == rows.n_features();
                    if !is_same {
                        let (known, taken) = (Taken::Rows(*known), Taken::Rows(rows));
                        self.check_same(i, j, ModuleId::Head(id), known, taken)?;
                    }
                }
                None => {
                    let built = self.plan.head(id, rows)?;
                    self.encoders.heads.push(built);
                    self.head_inputs.push(rows);
                }
            }
            let module = &self.encoders.heads[id].module;
            rows = RowShape { width: module.n_outputs(), map: module.map() };
            if rows.map.is_some_and(|map| map.n_values() == 0 || map.n_values() > rows.width) {
                return Err(self.plan.checker.fault_at(
                    &place(i, &["run", &j.to_string()]),
                    format!(
                        "`{}` gives {} values, and a map that cannot be among them",
                        self.plan.graph.heads[id], rows.width
                    ),
                    "this is a fault of the plugin: its `map` must be at the end of its `n_outputs` values",
                ));
            }
        }
        Ok(rows)
    }

    fn check_same(&self, i: usize, j: usize, module: ModuleId, known: Taken, taken: Taken) -> Checked<()> {
        if known == taken {
            return Ok(());
        }
        let name = self.plan.graph.module_name(module);
        Err(self.plan.checker.fault_at(
            &place(i, &["run", &j.to_string()]),
            format!("`{name}` takes {known} in an earlier step, and {taken} here"),
            "give it the same everywhere, or declare a second module",
        ))
    }

    fn loss(&mut self, i: usize, id: LossStepId) -> Checked<()> {
        let step = &self.plan.graph.loss_steps[id];
        match &step.on {
            LossInputs::Contrast { queries, keys } => self.contrast(i, step.loss, *queries, *keys),
            LossInputs::Values(values) => self.objective(i, step.loss, values),
        }
    }

    fn contrast(&mut self, i: usize, loss: LossId, queries: QueryId, keys: KeyId) -> Checked<()> {
        let BuildPlan { checker, config, graph, site, .. } = self.plan;
        let (inputs, of_keys) = (self.queries[queries], self.keys[keys]);
        let with_map = [inputs, of_keys].into_iter().enumerate().find(|(_, rows)| rows.map.is_some());
        if let Some((j, rows)) = with_map {
            return Err(checker.fault_at(
                &place(i, &["on", &j.to_string()]),
                format!("a contrastive loss takes features, and this is {rows}"),
                "run a head on it",
            ));
        }
        let (n_inputs, n_of_keys) = (inputs.width, of_keys.width);
        if n_inputs != n_of_keys {
            return Err(checker.fault_at(
                &place(i, &["on"]),
                format!(
                    "queries `{}` have {n_inputs} features, but keys `{}` have {n_of_keys}",
                    graph.queries[queries].id, graph.keys[keys].encode.id,
                ),
                "queries and keys need heads of the same width",
            ));
        }
        match self.loss_inputs.get(loss.index()) {
            Some(LossShape::Contrast(known)) => {
                let (known, taken) = (Taken::Rows(*known), Taken::Rows(inputs));
                return self.check_same(i, 0, ModuleId::Loss(loss), known, taken);
            }
            // A module is of one kind.
            Some(LossShape::Values(_)) | None => {}
        }
        let name = &graph.losses[loss];
        let context = LossContext {
            device: site.device.clone(),
            n_inputs,
            batch: config.data.batch,
            keys_per_step: config.data.batch * graph.key_steps(loss).len(),
            seed: config.seed,
            name: name.clone(),
        };
        let module = checker.build::<dyn ContrastiveLoss>(&["modules", name], &context)?;
        self.losses.push(Named { name: name.clone(), module: LossModule::Contrast(module) });
        self.loss_inputs.push(LossShape::Contrast(inputs));
        Ok(())
    }

    fn objective(&mut self, i: usize, loss: LossId, values: &[ValueId]) -> Checked<()> {
        let BuildPlan { checker, config, graph, site, .. } = self.plan;
        let shape = |value: &ValueId| {
            let RowShape { width, map } = match *value {
                ValueId::Query(id) => self.queries[id],
                ValueId::Key(id) => self.keys[id],
            };
            let (name, is_trained) = (graph.value_name(*value).to_owned(), graph.has_gradient(*value));
            InputShape { name, width, map, is_trained }
        };
        let inputs: Vec<InputShape> = values.iter().map(shape).collect();
        let origins: Vec<InputOrigin<'_>> = values.iter().map(|value| origin(graph, *value)).collect();
        let check_order = |module: &LossModule| match module {
            LossModule::Objective(objective) => objective.check_order(&origins).map_err(|error| {
                checker.fault_at(
                    &place(i, &["on"]),
                    error.to_string(),
                    error.hint().unwrap_or("name the values in the order that the objective asks for"),
                )
            }),
            LossModule::Contrast(_) => Ok(()),
        };
        let name = &graph.losses[loss];
        if let Some(LossShape::Values(known)) = self.loss_inputs.get(loss.index()) {
            let of = |input: &InputShape| (input.width, input.map, input.is_trained);
            let alike = |(a, b): (&InputShape, &InputShape)| of(a) == of(b);
            if known.len() == inputs.len() && known.iter().zip(&inputs).all(alike) {
                return check_order(&self.losses[loss].module);
            }
            return Err(checker.fault_at(
                &place(i, &["on"]),
                format!("`{name}` takes {} in an earlier step, and {} here", listed(known), listed(&inputs)),
                "give it the same everywhere, or declare a second module",
            ));
        }
        let context = ObjectiveContext {
            device: site.device.clone(),
            inputs: inputs.clone(),
            batch: config.data.batch,
            epochs: config.epochs,
            seed: config.seed,
            name: name.clone(),
        };
        let on = place(i, &["on"]);
        let module = checker.build_for::<dyn Objective>(&["modules", name], &context, &on)?;
        check_metric_names(checker, &["modules", name], module.metrics())?;
        if let Some(j) = inputs.iter().position(|input| input.map.is_some()).filter(|_| !module.takes_maps())
        {
            return Err(checker.fault_at(
                &place(i, &["on", &j.to_string()]),
                format!("`{name}` takes features, and `{}` is {}", inputs[j].name, RowShape::of(&inputs[j])),
                "run a head on it",
            ));
        }
        let module = LossModule::Objective(module);
        check_order(&module)?;
        self.losses.push(Named { name: name.clone(), module });
        self.loss_inputs.push(LossShape::Values(inputs));
        Ok(())
    }

    /// A backbone takes images of one size, unless queries see more sizes than keys do: small views beside large ones
    /// (Caron et al. 2020, arXiv:2006.09882). Views of keys that differ, or that no query has the size of, are slips; and
    /// where there are no keys, two views of two sizes.
    fn check_images(&self) -> Checked<()> {
        let steps: Vec<Option<OnView>> =
            self.plan.graph.steps.iter().map(|step| self.on_view(*step)).collect();
        for (i, step) in steps.iter().enumerate() {
            let Some(OnView { backbone: id, images, is_key }) = *step else { continue };
            let built = self.images[id];
            if images == built {
                continue;
            }
            let (known, taken) = (Taken::Images(built), Taken::Images(images));
            let of_backbone = || steps.iter().flatten().filter(|other| other.backbone == id);
            let keys = of_backbone().find(|other| other.is_key).map(|key| key.images);
            let has_query_like = |keys| of_backbone().any(|other| !other.is_key && other.images == keys);
            if keys.is_none() && images.channels == built.channels && of_backbone().count() == 2 {
                let name = self.plan.graph.module_name(ModuleId::Backbone(id));
                return Err(self.plan.checker.fault_at(
                    &place(i, &["run", "0"]),
                    format!("`{name}` takes {known} in an earlier step, and {taken} here"),
                    "give both views the same size; small views stand beside two or more others",
                ));
            }
            let is_slip = images.channels != built.channels
                || keys.is_some_and(|keys| !has_query_like(keys) || is_key && images != keys);
            if is_slip {
                self.check_same(i, 0, ModuleId::Backbone(id), known, taken)?;
            }
            let backbone = &self.encoders.backbones[id].module;
            backbone.check_image_size(images.size, Mode::Train).map_err(|error| {
                let name = self.plan.graph.module_name(ModuleId::Backbone(id));
                self.plan.checker.fault_at(
                    &place(i, &["run", "0"]),
                    format!("`{name}` takes {known} in an earlier step, and {taken} here: {error}"),
                    error.hint().unwrap_or("give every view that is trained on the same size"),
                )
            })?;
        }
        Ok(())
    }

    /// What a step that starts from a view sees.
    fn on_view(&self, step: StepId) -> Option<OnView> {
        let BuildPlan { graph, view_images, .. } = self.plan;
        match step {
            StepId::Query(id) => match graph.queries[id].input {
                Input::View { view, backbone } => {
                    Some(OnView { backbone, images: view_images[view], is_key: false })
                }
                Input::Step(_) => None,
            },
            StepId::Key(id) => match graph.keys[id].encode.input {
                Input::View { view, backbone } => {
                    let backbone = graph.backbone_copies[backbone];
                    Some(OnView { backbone, images: view_images[view], is_key: true })
                }
                Input::Step(_) => None,
            },
            StepId::Loss(_) => None,
        }
    }

    /// A shuffle changes nothing unless batch statistics are taken over parts of the batch.
    fn check_shuffles(&self) -> Checked<()> {
        let graph = self.plan.graph;
        for (i, step) in graph.steps.iter().enumerate() {
            let StepId::Key(id) = step else { continue };
            let step = &graph.keys[*id];
            let backbone = match step.encode.input {
                Input::View { backbone, .. } => {
                    self.encoders.backbones[graph.backbone_copies[backbone]].module.batch_norm_splits()
                }
                Input::Step(_) => None,
            };
            let heads = step.encode.heads.iter();
            let heads =
                heads.filter_map(|id| self.encoders.heads[graph.head_copies[*id]].module.batch_norm_splits());
            let splits = heads.chain(backbone).max();
            if step.shuffle_batch && splits.is_none() {
                return Err(self.plan.checker.fault_at(
                    &place(i, &["shuffle_batch"]),
                    "shuffling would do nothing: this encoder has no batch norm, whose statistics it is for",
                    "remove `shuffle_batch`",
                ));
            }
            if step.shuffle_batch && splits.unwrap_or(1) < 2 {
                return Err(self.plan.checker.fault_at(
                    &place(i, &["shuffle_batch"]),
                    "shuffling would do nothing: batch statistics are taken over the whole batch",
                    "set `batch_norm_splits: 8` on the backbone, or remove `shuffle_batch` (He et al. 2020, §3.3)",
                ));
            }
        }
        Ok(())
    }

    fn copies(&self) -> Checked<MomentumModules> {
        let BuildPlan { graph, .. } = self.plan;
        let backbones = graph.backbone_copies.iter();
        let heads = graph.head_copies.iter();
        Ok(Encoders {
            backbones: backbones
                .map(|id| self.plan.backbone(*id, self.images[*id]))
                .collect::<Checked<_>>()?,
            heads: heads.map(|id| self.plan.head(*id, self.head_inputs[*id])).collect::<Checked<_>>()?,
        })
    }
}

fn origin(graph: &Graph, value: ValueId) -> InputOrigin<'_> {
    let (view, backbone) = graph.origin(value);
    InputOrigin { name: graph.value_name(value), view, backbone, is_trained: graph.has_gradient(value) }
}

/// The inputs of an objective as a sentence names them.
fn listed(inputs: &[InputShape]) -> String {
    let one = |input: &InputShape| {
        let target = if input.is_trained { "" } else { " without a gradient" };
        format!("{}{target}", RowShape::of(input))
    };
    inputs.iter().map(one).collect::<Vec<_>>().join(", ")
}
