//! Names in the graph: who uses what, in which order.

use std::collections::BTreeMap;

use crate::check_losses::{check_losses, check_weight};
use crate::check_names::{check_id, no_value};
use crate::check_passes::check_shared_passes;
use crate::check_use::{check_momentum_follows, check_use};
use crate::checker::Checker;
use crate::config::{Gives, Gradient, PipelineConfig, StepConfig, Weights};
use crate::graph::{Encode, Graph, Input, KeyStep, LossInputs, LossStep, ModuleId, StepId, ValueId, intern};
use crate::ids::{BackboneId, HeadId, KeyId, LossId, QueryId, ViewId};
use pipeline_text::Checked;
use pipeline_text::Fault;
use plugin_api::suggest;

/// What is known of the modules before they are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModuleKind {
    Backbone,
    Head,
    /// Queries against keys.
    Contrast,
    /// Any number of values.
    Objective,
}

/// The graph of `config`, with every name resolved.
pub(crate) fn check_graph(
    checker: &Checker,
    config: &PipelineConfig,
    kinds: &BTreeMap<String, ModuleKind>,
) -> Checked<Graph> {
    if config.graph.is_empty() {
        return Err(checker.fault(
            &["graph"],
            "the graph has no step",
            "add `(id: \"q\", run: [...], on: [...])`",
        ));
    }
    let mut building = Building { checker, config, kinds, graph: Graph::default() };
    for (i, step) in config.graph.iter().enumerate() {
        check_id(checker, config, i, step)?;
        let id = building.step(i, step)?;
        building.graph.steps.push(id);
    }
    let mut graph = building.graph;
    check_shared_passes(checker, config, &mut graph)?;
    check_losses(checker, &graph)?;
    check_use(checker, config, &graph)?;
    check_momentum_follows(checker, &graph)?;
    Ok(graph)
}

/// A place in the file: in step `step`.
pub(crate) fn place(step: usize, rest: &[&str]) -> Vec<String> {
    let mut path = vec!["graph".to_owned(), step.to_string()];
    path.extend(rest.iter().map(|part| (*part).to_owned()));
    path
}

/// A module that encodes.
#[derive(Clone, Copy)]
enum Part {
    Backbone(BackboneId),
    Head(HeadId),
}

/// What a step can work on.
#[derive(Clone, Copy)]
enum Value {
    View(ViewId),
    Step(StepId),
}

/// A graph of which some steps are there.
struct Building<'a> {
    checker: &'a Checker,
    config: &'a PipelineConfig,
    kinds: &'a BTreeMap<String, ModuleKind>,
    graph: Graph,
}

impl Building<'_> {
    /// Adds step `i` of the file to the list of its kind.
    fn step(&mut self, i: usize, step: &StepConfig) -> Checked<StepId> {
        if step.run.is_empty() && step.gradient == Gradient::Passes {
            return Err(self.checker.fault_at(
                &place(i, &["run"]),
                "this step runs nothing",
                "name at least one module; with `gradient: None`, an empty `run` makes a target of an earlier result",
            ));
        }
        let mut parts = Vec::new();
        for (j, name) in step.run.iter().enumerate() {
            match self.module(i, j, name)? {
                ModuleId::Backbone(id) => parts.push(Part::Backbone(id)),
                ModuleId::Head(id) => parts.push(Part::Head(id)),
                ModuleId::Loss(id) if step.run.len() == 1 => return self.loss(i, step, id),
                ModuleId::Loss(_) => {
                    return Err(self.checker.fault_at(
                        &place(i, &["run", &j.to_string()]),
                        format!("`{name}` is a loss, and cannot be part of a chain"),
                        match self.kinds.get(name) {
                            Some(ModuleKind::Objective) => {
                                "give the loss a step of its own, on the values that it takes"
                            }
                            _ => "give the loss a step of its own, on queries and keys",
                        },
                    ));
                }
            }
        }
        self.encode(i, step, &parts)
    }

    /// The module called `name`.
    fn module(&mut self, i: usize, j: usize, name: &str) -> Checked<ModuleId> {
        let Some(kind) = self.kinds.get(name) else {
            let names: Vec<&String> = self.kinds.keys().collect();
            return Err(self.checker.fault_at(
                &place(i, &["run", &j.to_string()]),
                format!("no module is named `{name}`"),
                suggest(name, &names),
            ));
        };
        let module = match kind {
            ModuleKind::Backbone => ModuleId::Backbone(intern(&mut self.graph.backbones, name)),
            ModuleKind::Head => ModuleId::Head(intern(&mut self.graph.heads, name)),
            ModuleKind::Contrast | ModuleKind::Objective => {
                ModuleId::Loss(intern(&mut self.graph.losses, name))
            }
        };
        if !self.graph.modules.contains(&module) {
            self.graph.modules.push(module);
        }
        Ok(module)
    }

    fn encode(&mut self, i: usize, step: &StepConfig, parts: &[Part]) -> Checked<StepId> {
        let checker = self.checker;
        let [name] = step.on.as_slice() else {
            return Err(checker.fault_at(
                &place(i, &["on"]),
                format!("an encoder takes one value, but `on` names {}", step.on.len()),
                "give each view a step of its own",
            ));
        };
        let (input, heads) = match self.value(i, 0, name)? {
            Value::View(_) if parts.is_empty() => {
                return Err(checker.fault_at(
                    &place(i, &["run"]),
                    format!("`{name}` is a view, and images alone are no target"),
                    "run a backbone on it",
                ));
            }
            Value::View(view) => {
                let Some((Part::Backbone(backbone), rest)) = parts.split_first() else {
                    return Err(self.gets_images(i, step));
                };
                (Input::View { view, backbone: *backbone }, self.heads(i, step, 1, rest)?)
            }
            Value::Step(from) => (Input::Step(from), self.heads(i, step, 0, parts)?),
        };
        self.check_gives(i, step, matches!(input, Input::View { .. }) && heads.is_empty())?;
        if step.weights == Weights::Query {
            self.queries(i, step, input, heads)
        } else {
            self.keys(i, step, input, heads)
        }
    }

    /// The heads `parts`, which are those of step `i` from place `first` on.
    fn heads(&self, i: usize, step: &StepConfig, first: usize, parts: &[Part]) -> Checked<Vec<HeadId>> {
        let head = |(j, part): (usize, &Part)| match part {
            Part::Head(id) => Ok(*id),
            Part::Backbone(_) => Err(self.checker.fault_at(
                &place(i, &["run", &j.to_string()]),
                format!("`{}` takes images, but gets features", step.run[j]),
                "put it first, on a view",
            )),
        };
        (first..).zip(parts).map(head).collect()
    }

    fn gets_images(&self, i: usize, step: &StepConfig) -> Box<Fault> {
        self.checker.fault_at(
            &place(i, &["run", "0"]),
            format!("`{}` takes features, but gets images", step.run[0]),
            "put a backbone before it",
        )
    }

    fn queries(
        &mut self,
        i: usize,
        step: &StepConfig,
        input: Input<BackboneId, StepId>,
        heads: Vec<HeadId>,
    ) -> Checked<StepId> {
        let input = match input {
            Input::View { view, backbone } => Input::View { view, backbone },
            Input::Step(StepId::Query(from)) => Input::Step(from),
            Input::Step(other) => return Err(self.wrong_input(i, other)),
        };
        if step.shuffle_batch {
            return Err(self.cannot_shuffle(i));
        }
        self.check_no_weight(i, step)?;
        let has_gradient = step.gradient == Gradient::Passes;
        let gives_map = step.gives == Gives::FeaturesAndMap;
        let encode = Encode { id: step.id.clone(), input, heads, has_gradient, gives_map };
        Ok(StepId::Query(self.graph.queries.push(encode)))
    }

    fn keys(
        &mut self,
        i: usize,
        step: &StepConfig,
        input: Input<BackboneId, StepId>,
        heads: Vec<HeadId>,
    ) -> Checked<StepId> {
        let input = match input {
            Input::View { view, backbone } => {
                Input::View { view, backbone: intern(&mut self.graph.backbone_copies, &backbone) }
            }
            Input::Step(StepId::Key(from)) => Input::Step(from),
            Input::Step(other) => return Err(self.wrong_input(i, other)),
        };
        if step.shuffle_batch && matches!(input, Input::Step(_)) {
            return Err(self.cannot_shuffle(i));
        }
        self.check_no_weight(i, step)?;
        if step.gradient == Gradient::None {
            return Err(self.checker.fault_at(
                &place(i, &["gradient"]),
                "no gradient passes through momentum weights anyway",
                "remove `gradient`",
            ));
        }
        let heads = heads.iter().map(|head| intern(&mut self.graph.head_copies, head)).collect();
        let gives_map = step.gives == Gives::FeaturesAndMap;
        let encode = Encode { id: step.id.clone(), input, heads, has_gradient: false, gives_map };
        Ok(StepId::Key(self.graph.keys.push(KeyStep { encode, shuffle_batch: step.shuffle_batch })))
    }

    /// The fault of an encoder on `input`, which is of the other side or a loss.
    fn wrong_input(&self, i: usize, input: StepId) -> Box<Fault> {
        let name = self.graph.step_name(input);
        let (message, hint) = match input {
            StepId::Loss(_) => (
                format!("`{name}` is a loss, and no encoder takes one"),
                "name a view or an encoder's result",
            ),
            StepId::Query(_) | StepId::Key(_) => (
                format!("`{name}` was made with other weights than this step uses"),
                "use `weights: Momentum` in both steps or in neither",
            ),
        };
        self.checker.fault_at(&place(i, &["on", "0"]), message, hint)
    }

    fn cannot_shuffle(&self, i: usize) -> Box<Fault> {
        self.checker.fault_at(
            &place(i, &["shuffle_batch"]),
            "only keys are shuffled: a step with `weights: Momentum` on a view",
            "remove `shuffle_batch` here (He et al. 2020, §3.3)",
        )
    }

    fn check_gives(&self, i: usize, step: &StepConfig, is_backbone_alone: bool) -> Checked<()> {
        if step.gives == Gives::Features || is_backbone_alone {
            return Ok(());
        }
        Err(self.checker.fault_at(
            &place(i, &["gives"]),
            "only a backbone alone, on a view, gives the map of its features",
            "give it a step of its own, and heads steps on that",
        ))
    }

    fn check_no_weight(&self, i: usize, step: &StepConfig) -> Checked<()> {
        match step.weight {
            None => Ok(()),
            Some(_) => Err(self.checker.fault_at(
                &place(i, &["weight"]),
                "only a loss has a weight, and this step encodes",
                "remove `weight` here; `weights: Momentum` chooses the momentum encoder",
            )),
        }
    }

    fn loss(&mut self, i: usize, step: &StepConfig, loss: LossId) -> Checked<StepId> {
        let checker = self.checker;
        if step.weights == Weights::Momentum {
            return Err(checker.fault_at(
                &place(i, &["weights"]),
                "a loss has no momentum weights",
                "remove `weights`",
            ));
        }
        if step.shuffle_batch {
            return Err(checker.fault_at(
                &place(i, &["shuffle_batch"]),
                "a loss cannot shuffle the batch",
                "put `shuffle_batch: true` on the step that makes the keys",
            ));
        }
        if step.gradient == Gradient::None {
            return Err(checker.fault_at(
                &place(i, &["gradient"]),
                "a loss without a gradient trains nothing",
                "remove `gradient`; a loss with `weight: 0` is computed and not minimized",
            ));
        }
        self.check_gives(i, step, false)?;
        let on = match self.kinds.get(&self.graph.losses[loss]) {
            Some(ModuleKind::Objective) => self.values(i, step)?,
            _ => self.contrast(i, step)?,
        };
        let weight = check_weight(checker, i, step)?;
        let step = LossStep { id: step.id.clone(), loss, on, weight };
        Ok(StepId::Loss(self.graph.loss_steps.push(step)))
    }

    /// What a contrastive loss is on.
    fn contrast(&mut self, i: usize, step: &StepConfig) -> Checked<LossInputs> {
        let [queries, keys] = step.on.as_slice() else {
            return Err(self.checker.fault_at(
                &place(i, &["on"]),
                format!("a contrastive loss takes queries and keys, but `on` names {}", step.on.len()),
                "write `on: [\"q\", \"k\"]`",
            ));
        };
        let queries = self.loss_queries(i, queries)?;
        Ok(LossInputs::Contrast { queries, keys: self.loss_keys(i, keys)? })
    }

    /// What an objective is on.
    fn values(&mut self, i: usize, step: &StepConfig) -> Checked<LossInputs> {
        let mut values = Vec::with_capacity(step.on.len());
        for (j, name) in step.on.iter().enumerate() {
            values.push(match self.value(i, j, name)? {
                Value::Step(StepId::Query(id)) => ValueId::Query(id),
                Value::Step(StepId::Key(id)) => ValueId::Key(id),
                other => return Err(self.no_features(i, j, name, other)),
            });
        }
        if values.iter().any(|value| self.graph.has_gradient(*value)) {
            return Ok(LossInputs::Values(values));
        }
        Err(self.checker.fault_at(
            &place(i, &["on"]),
            "no gradient passes through any of these, so nothing would train",
            "name at least one step without `weights: Momentum` and without `gradient: None`",
        ))
    }

    fn loss_queries(&mut self, i: usize, name: &str) -> Checked<QueryId> {
        match self.value(i, 0, name)? {
            Value::Step(StepId::Query(id)) if self.graph.queries[id].has_gradient => Ok(id),
            Value::Step(StepId::Query(_)) => Err(self.checker.fault_at(
                &place(i, &["on", "0"]),
                format!("no gradient passes through the queries `{name}`, so nothing would train"),
                "remove `gradient: None` from their step",
            )),
            Value::Step(StepId::Key(_)) => Err(self.checker.fault_at(
                &place(i, &["on", "0"]),
                format!("the queries `{name}` are made with momentum weights, so nothing would train"),
                "queries come first: `on: [queries, keys]`",
            )),
            other => Err(self.no_features(i, 0, name, other)),
        }
    }

    fn loss_keys(&mut self, i: usize, name: &str) -> Checked<KeyId> {
        match self.value(i, 1, name)? {
            Value::Step(StepId::Key(id)) => Ok(id),
            Value::Step(StepId::Query(_)) => Err(self.checker.fault_at(
                &place(i, &["on", "1"]),
                format!("the keys `{name}` are made with trained weights, and keys carry no gradient"),
                "give their step `weights: Momentum`",
            )),
            other => Err(self.no_features(i, 1, name, other)),
        }
    }

    /// The fault of a loss on a view or another loss.
    fn no_features(&self, i: usize, j: usize, name: &str, value: Value) -> Box<Fault> {
        let (message, hint) = match value {
            Value::View(_) => (format!("`{name}` is a view, and a loss takes features"), "encode it first"),
            Value::Step(_) => (format!("`{name}` is itself a loss"), "name an encoder's result"),
        };
        self.checker.fault_at(&place(i, &["on", &j.to_string()]), message, hint)
    }

    /// The value called `name`, which is input `j` of step `i`.
    fn value(&mut self, i: usize, j: usize, name: &str) -> Checked<Value> {
        if self.config.views.contains_key(name) {
            return Ok(Value::View(intern(&mut self.graph.views, name)));
        }
        let earlier = self.graph.steps.iter().find(|step| self.graph.step_name(**step) == name);
        match earlier {
            Some(step) => Ok(Value::Step(*step)),
            None => Err(no_value(self.checker, self.config, i, j, name)),
        }
    }
}
