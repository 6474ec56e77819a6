//! What would do nothing: results that nothing uses, modules that nothing runs or trains.

use std::collections::BTreeSet;

use crate::check_graph::place;
use crate::checker::Checker;
use crate::config::PipelineConfig;
use crate::graph::{Graph, Input, QueryStep, StepId, ValueId};
use crate::ids::{BackboneId, HeadId};
use pipeline_text::Checked;

/// Everything declared must be used: a leftover is usually a slip.
pub(crate) fn check_use(checker: &Checker, config: &PipelineConfig, graph: &Graph) -> Checked<()> {
    let queries = graph.queries.iter().filter_map(|step| match step.input {
        Input::Step(from) => Some(StepId::Query(from)),
        Input::View { .. } => None,
    });
    let keys = graph.keys.iter().filter_map(|step| match step.encode.input {
        Input::Step(from) => Some(StepId::Key(from)),
        Input::View { .. } => None,
    });
    let compared = graph.loss_steps.iter().flat_map(|step| step.on.values()).map(|value| match value {
        ValueId::Query(id) => StepId::Query(id),
        ValueId::Key(id) => StepId::Key(id),
    });
    let used: Vec<StepId> = queries.chain(keys).chain(compared).collect();
    for (i, step) in graph.steps.iter().enumerate() {
        if !matches!(step, StepId::Loss(_)) && !used.contains(step) {
            let message = format!("nothing uses the result of step `{}`", graph.step_name(*step));
            return Err(checker.fault_at(
                &place(i, &["id"]),
                message,
                "use it in a loss, or remove the step",
            ));
        }
    }
    for name in config.modules.keys() {
        if !graph.modules.iter().any(|module| graph.module_name(*module) == name) {
            let message = format!("no step runs the module `{name}`");
            return Err(checker.fault_at_name(
                &["modules", name],
                message,
                "run it in a step of `graph`, or remove it",
            ));
        }
    }
    Ok(())
}

/// A momentum copy of a module that never trains would stay at its random start.
pub(crate) fn check_momentum_follows(checker: &Checker, graph: &Graph) -> Checked<()> {
    let mut backbones: BTreeSet<BackboneId> = BTreeSet::new();
    let mut heads: BTreeSet<HeadId> = BTreeSet::new();
    for step in graph.trained().into_iter().map(|id| &graph.queries[id]) {
        if let Input::View { backbone, .. } = step.input {
            backbones.insert(backbone);
        }
        heads.extend(&step.heads);
    }
    for (i, step) in graph.steps.iter().enumerate() {
        let StepId::Key(id) = step else { continue };
        let encode = &graph.keys[*id].encode;
        let mut run: Vec<(&String, bool)> = Vec::new();
        if let Input::View { backbone, .. } = encode.input {
            let backbone = graph.backbone_copies[backbone];
            run.push((&graph.backbones[backbone], backbones.contains(&backbone)));
        }
        let of_heads = encode.heads.iter().map(|head| graph.head_copies[*head]);
        run.extend(of_heads.map(|head| (&graph.heads[head], heads.contains(&head))));
        if let Some(j) = run.iter().position(|(_, is_trained)| !is_trained) {
            let name = run[j].0;
            let is_run = |step: &QueryStep| {
                let backbone = match step.input {
                    Input::View { backbone, .. } => Some(&graph.backbones[backbone]),
                    Input::Step(_) => None,
                };
                step.heads.iter().map(|head| &graph.heads[*head]).chain(backbone).any(|module| module == name)
            };
            let (message, hint) = match graph.queries.iter().any(is_run) {
                true => (
                    format!(
                        "no gradient ever moves `{name}`: its results with trained weights lead to no loss but by `gradient: None`"
                    ),
                    "name one of them in a loss, or remove `gradient: None`",
                ),
                false => (
                    format!("`{name}` runs with momentum weights only, so no gradient ever moves it"),
                    "run it on the query side as well",
                ),
            };
            return Err(checker.fault_at(&place(i, &["run", &j.to_string()]), message, hint));
        }
    }
    Ok(())
}
