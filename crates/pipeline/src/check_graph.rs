//! Names in the graph: who uses what, in which order.

use std::collections::{BTreeMap, BTreeSet};

use crate::checker::{Checked, Checker};
use crate::config::{PipelineConfig, StepConfig, Weights};
use crate::graph::{Action, Graph, Step, Value};
use plugin_api::suggest;

/// What is known of the modules before they are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModuleKind {
    Backbone,
    Head,
    Loss,
}

/// The graph of `config`, with every name resolved.
pub(crate) fn check_graph(
    checker: &Checker,
    config: &PipelineConfig,
    kinds: &BTreeMap<String, ModuleKind>,
) -> Checked<Graph> {
    let mut graph = Graph { views: Vec::new(), modules: Vec::new(), steps: Vec::new() };
    if config.graph.is_empty() {
        return Err(checker.fault(
            &["graph"],
            "the graph has no step",
            "add `(id: \"q\", run: [...], on: [...])`",
        ));
    }
    for (i, step) in config.graph.iter().enumerate() {
        check_id(checker, config, i, step)?;
        let action = check_step(checker, config, kinds, &mut graph, i, step)?;
        graph.steps.push(Step { id: step.id.clone(), action });
    }
    check_losses(checker, &graph)?;
    check_use(checker, config, &graph)?;
    check_momentum_follows(checker, &graph)?;
    Ok(graph)
}

fn place(step: usize, rest: &[&str]) -> Vec<String> {
    let mut path = vec!["graph".to_owned(), step.to_string()];
    path.extend(rest.iter().map(|part| (*part).to_owned()));
    path
}

fn check_id(checker: &Checker, config: &PipelineConfig, i: usize, step: &StepConfig) -> Checked<()> {
    let at = place(i, &["id"]);
    if step.id.is_empty() {
        return Err(checker.fault_at(&at, "a step needs a name", "for instance `id: \"q\"`"));
    }
    if config.graph[..i].iter().any(|earlier| earlier.id == step.id) {
        return Err(checker.fault_at(
            &at,
            format!("two steps are named `{}`", step.id),
            "rename one of them",
        ));
    }
    if config.views.contains_key(&step.id) {
        return Err(checker.fault_at(
            &at,
            format!("`{}` is already the name of a view", step.id),
            "rename the step",
        ));
    }
    Ok(())
}

fn check_step(
    checker: &Checker,
    config: &PipelineConfig,
    kinds: &BTreeMap<String, ModuleKind>,
    graph: &mut Graph,
    i: usize,
    step: &StepConfig,
) -> Checked<Action> {
    if step.run.is_empty() {
        return Err(checker.fault_at(
            &place(i, &["run"]),
            "this step runs nothing",
            "name at least one module",
        ));
    }
    let mut chain = Vec::new();
    for (j, name) in step.run.iter().enumerate() {
        let at = place(i, &["run", &j.to_string()]);
        let Some(kind) = kinds.get(name) else {
            let names: Vec<&String> = kinds.keys().collect();
            return Err(checker.fault_at(&at, format!("no module is named `{name}`"), suggest(name, &names)));
        };
        if *kind == ModuleKind::Loss && step.run.len() > 1 {
            return Err(checker.fault_at(
                &at,
                format!("`{name}` is a loss, and cannot be part of a chain"),
                "give the loss a step of its own, on queries and keys",
            ));
        }
        chain.push((*kind, index_of(&mut graph.modules, name)));
    }
    if chain[0].0 == ModuleKind::Loss {
        return check_loss(checker, config, graph, i, step, chain[0].1);
    }
    check_encode(checker, config, graph, i, step, &chain)
}

fn check_encode(
    checker: &Checker,
    config: &PipelineConfig,
    graph: &mut Graph,
    i: usize,
    step: &StepConfig,
    chain: &[(ModuleKind, usize)],
) -> Checked<Action> {
    let [name] = step.on.as_slice() else {
        return Err(checker.fault_at(
            &place(i, &["on"]),
            format!("an encoder takes one value, but `on` names {}", step.on.len()),
            "give each view a step of its own",
        ));
    };
    let input = resolve(checker, config, graph, i, 0, name)?;
    for (j, (kind, _)) in chain.iter().enumerate() {
        let takes_images = *kind == ModuleKind::Backbone;
        let gets_images = j == 0 && matches!(input, Value::View(_));
        if takes_images != gets_images {
            let module = &step.run[j];
            let (message, hint) = if takes_images {
                (format!("`{module}` takes images, but gets features"), "put it first, on a view".to_owned())
            } else {
                (format!("`{module}` takes features, but gets images"), "put a backbone before it".to_owned())
            };
            return Err(checker.fault_at(&place(i, &["run", &j.to_string()]), message, hint));
        }
    }
    if let Value::Step(from) = input {
        match graph.steps[from].action {
            Action::Encode { weights, .. } if weights == step.weights => {}
            Action::Encode { .. } => {
                return Err(checker.fault_at(
                    &place(i, &["on", "0"]),
                    format!("`{name}` was made with other weights than this step uses"),
                    "use `weights: Momentum` in both steps or in neither",
                ));
            }
            Action::Loss { .. } => {
                return Err(checker.fault_at(
                    &place(i, &["on", "0"]),
                    format!("`{name}` is a loss, and no encoder takes one"),
                    "name a view or an encoder's result",
                ));
            }
        }
    }
    if step.shuffle_batch && (step.weights != Weights::Momentum || matches!(input, Value::Step(_))) {
        return Err(checker.fault_at(
            &place(i, &["shuffle_batch"]),
            "only keys are shuffled: a step with `weights: Momentum` on a view",
            "remove `shuffle_batch` here (He et al. 2020, §3.3)",
        ));
    }
    if step.weight.is_some() {
        return Err(checker.fault_at(
            &place(i, &["weight"]),
            "only a loss has a weight, and this step encodes",
            "remove `weight` here; `weights: Momentum` chooses the momentum encoder",
        ));
    }
    Ok(Action::Encode {
        modules: chain.iter().map(|(_, module)| *module).collect(),
        input,
        weights: step.weights,
        shuffle_batch: step.shuffle_batch,
    })
}

fn check_loss(
    checker: &Checker,
    config: &PipelineConfig,
    graph: &mut Graph,
    i: usize,
    step: &StepConfig,
    module: usize,
) -> Checked<Action> {
    let [queries, keys] = step.on.as_slice() else {
        return Err(checker.fault_at(
            &place(i, &["on"]),
            format!("a loss takes queries and keys, but `on` names {}", step.on.len()),
            "write `on: [\"q\", \"k\"]`",
        ));
    };
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
    let mut ends = [0; 2];
    for (j, (name, wanted)) in [(queries, Weights::Query), (keys, Weights::Momentum)].into_iter().enumerate()
    {
        let at = place(i, &["on", &j.to_string()]);
        let Value::Step(from) = resolve(checker, config, graph, i, j, name)? else {
            return Err(checker.fault_at(
                &at,
                format!("`{name}` is a view, and a loss takes features"),
                "encode it first",
            ));
        };
        match graph.steps[from].action {
            Action::Encode { weights, .. } if weights == wanted => ends[j] = from,
            Action::Encode { .. } if wanted == Weights::Query => {
                return Err(checker.fault_at(
                    &at,
                    format!("the queries `{name}` are made with momentum weights, so nothing would train"),
                    "queries come first: `on: [queries, keys]`",
                ));
            }
            Action::Encode { .. } => {
                return Err(checker.fault_at(
                    &at,
                    format!("the keys `{name}` are made with trained weights, and keys carry no gradient"),
                    "give their step `weights: Momentum`",
                ));
            }
            Action::Loss { .. } => {
                return Err(checker.fault_at(
                    &at,
                    format!("`{name}` is itself a loss"),
                    "name an encoder's result",
                ));
            }
        }
    }
    let weight = check_weight(checker, i, step)?;
    Ok(Action::Loss { module, queries: ends[0], keys: ends[1], weight })
}

/// The value called `name`, used by step `i`.
fn resolve(
    checker: &Checker,
    config: &PipelineConfig,
    graph: &mut Graph,
    i: usize,
    j: usize,
    name: &str,
) -> Checked<Value> {
    let at = place(i, &["on", &j.to_string()]);
    if config.views.contains_key(name) {
        return Ok(Value::View(index_of(&mut graph.views, name)));
    }
    if let Some(earlier) = graph.steps.iter().position(|step| step.id == name) {
        return Ok(Value::Step(earlier));
    }
    let Some(later) = config.graph.iter().position(|step| step.id == name) else {
        let names: Vec<&String> =
            config.views.keys().chain(config.graph[..i].iter().map(|step| &step.id)).collect();
        return Err(checker.fault_at(&at, format!("nothing is named `{name}`"), suggest(name, &names)));
    };
    let start = &config.graph[i].id;
    let (message, hint) = match cycle(config, later, i) {
        Some(steps) => (
            format!("the steps go in a circle: {start} → {}", steps.join(" → ")),
            "a step can only use what needs nothing of it".to_owned(),
        ),
        None => {
            (format!("`{name}` is used before it is made"), format!("move step `{name}` above `{start}`"))
        }
    };
    Err(checker.fault_at(&at, message, hint))
}

/// The names on a way from step `from` through its inputs to step `to`.
fn cycle(config: &PipelineConfig, from: usize, to: usize) -> Option<Vec<String>> {
    fn walk(
        config: &PipelineConfig,
        at: usize,
        to: usize,
        seen: &mut BTreeSet<usize>,
    ) -> Option<Vec<String>> {
        let name = config.graph[at].id.clone();
        if at == to {
            return Some(vec![name]);
        }
        if !seen.insert(at) {
            return None;
        }
        config.graph[at].on.iter().find_map(|input| {
            let next = config.graph.iter().position(|step| step.id == *input)?;
            let mut way = walk(config, next, to, seen)?;
            way.insert(0, name.clone());
            Some(way)
        })
    }
    walk(config, from, to, &mut BTreeSet::new())
}

/// Something must train: a loss that counts.
fn check_losses(checker: &Checker, graph: &Graph) -> Checked<()> {
    let weights: Vec<(usize, f64)> = graph
        .steps
        .iter()
        .enumerate()
        .filter_map(|(i, step)| match step.action {
            Action::Loss { weight, .. } => Some((i, weight)),
            Action::Encode { .. } => None,
        })
        .collect();
    let Some((first, _)) = weights.first() else {
        return Err(checker.fault(
            &["graph"],
            "no step is a loss, so nothing would train",
            "add a step that compares queries and keys",
        ));
    };
    if weights.iter().all(|(_, weight)| *weight == 0.0) {
        return Err(checker.fault_at(
            &place(*first, &["weight"]),
            "every loss has the weight 0, so nothing would train",
            "give one of them a weight above 0",
        ));
    }
    Ok(())
}

/// `weight` and `weights` are a letter apart.
pub(crate) fn check_weight_words(checker: &Checker) -> Checked<()> {
    let n_steps = checker.tree.find(&["graph"]).map_or(0, |graph| graph.child_names().len());
    for i in 0..n_steps {
        let at = place(i, &["weight"]);
        let word = checker.text_at(&at);
        if let Some(word @ ("Query" | "Momentum")) = word {
            return Err(checker.fault_at(
                &at,
                format!("`{word}` is no number, and `weight` scales a loss"),
                format!("did you mean `weights: {word}`?"),
            ));
        }
    }
    Ok(())
}

/// What a loss counts in the sum.
fn check_weight(checker: &Checker, i: usize, step: &StepConfig) -> Checked<f64> {
    let weight = step.weight.unwrap_or(1.0);
    if weight.is_finite() && weight >= 0.0 {
        return Ok(weight);
    }
    Err(checker.fault_at(
        &place(i, &["weight"]),
        format!("the weight is {weight}, but it must be a number of 0 or more"),
        "a loss without `weight` counts once; 0.5 lets it count half",
    ))
}

/// Everything declared must be used: a leftover is usually a slip.
fn check_use(checker: &Checker, config: &PipelineConfig, graph: &Graph) -> Checked<()> {
    let used: BTreeSet<usize> = graph
        .steps
        .iter()
        .flat_map(|step| match step.action {
            Action::Encode { input: Value::Step(from), .. } => vec![from],
            Action::Encode { .. } => Vec::new(),
            Action::Loss { queries, keys, .. } => vec![queries, keys],
        })
        .collect();
    for (i, step) in graph.steps.iter().enumerate() {
        if matches!(step.action, Action::Encode { .. }) && !used.contains(&i) {
            let message = format!("nothing uses the result of step `{}`", step.id);
            return Err(checker.fault_at(
                &place(i, &["id"]),
                message,
                "use it in a loss, or remove the step",
            ));
        }
    }
    for name in config.modules.keys() {
        if !graph.modules.contains(name) {
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
fn check_momentum_follows(checker: &Checker, graph: &Graph) -> Checked<()> {
    let trained: BTreeSet<usize> = graph
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Encode { modules, weights: Weights::Query, .. } => Some(modules.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    for (i, step) in graph.steps.iter().enumerate() {
        let Action::Encode { modules, weights: Weights::Momentum, .. } = &step.action else { continue };
        for (j, module) in modules.iter().enumerate() {
            if !trained.contains(module) {
                return Err(checker.fault_at(
                    &place(i, &["run", &j.to_string()]),
                    format!(
                        "`{}` runs with momentum weights only, so no gradient ever moves it",
                        graph.modules[*module]
                    ),
                    "run it on the query side as well",
                ));
            }
        }
    }
    Ok(())
}

fn index_of(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}
