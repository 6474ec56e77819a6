//! Steps that share a pass through the backbone.

use std::collections::BTreeMap;

use crate::build_plan::ViewImages;
use crate::check_graph::place;
use crate::checker::Checker;
use crate::config::{PipelineConfig, Weights};
use crate::graph::{Graph, Input, StepId};
use crate::ids::{Id, KeyId, QueryId, Table, ViewId};
use pipeline_text::Checked;

/// Adds the passes that steps share to `graph`.
pub(crate) fn check_shared_passes(
    checker: &Checker,
    config: &PipelineConfig,
    graph: &mut Graph,
) -> Checked<()> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, step) in config.graph.iter().enumerate() {
        if let Some(name) = &step.shared_pass {
            by_name.entry(name).or_default().push(i);
        }
    }
    for (name, steps) in by_name {
        let fault = |i: usize, message: &str, hint: &str| {
            Err(checker.fault_at(&place(i, &["shared_pass"]), message.to_owned(), hint))
        };
        let mut first = None;
        for &i in &steps {
            let Some(through) = Through::of(graph, graph.steps[i]) else {
                return fault(i, "only steps on views go through a backbone", "remove `shared_pass` here");
            };
            if config.graph[i].shuffle_batch {
                let hint = "remove `shared_pass` or `shuffle_batch`";
                return fault(i, "a batch that is shuffled goes through by itself", hint);
            }
            let (known, id) = *first.get_or_insert((through, &config.graph[i].id));
            if (through.backbone, through.weights) != (known.backbone, known.weights) {
                let hint =
                    "one pass has one backbone, and `weights: Momentum` in all of its steps or in none";
                return fault(
                    i,
                    &format!("`{id}` goes through another backbone, or with other weights"),
                    hint,
                );
            }
            if through.gives_map != known.gives_map {
                let hint = "use `gives: FeaturesAndMap` in all steps of a pass or in none";
                return fault(i, &format!("one of this step and `{id}` gives a map"), hint);
            }
            if through.has_gradient != known.has_gradient {
                let hint = "use `gradient: None` in all steps of a pass or in none";
                return fault(i, &format!("gradients pass through one of this step and `{id}`"), hint);
            }
        }
        if let [only] = steps[..] {
            let hint = "give the steps that go together one name, or remove `shared_pass`";
            return fault(only, &format!("no other step is in the pass `{name}`"), hint);
        }
        let queries: Vec<QueryId> = steps.iter().filter_map(|&i| query(graph.steps[i])).collect();
        let keys: Vec<KeyId> = steps.iter().filter_map(|&i| key(graph.steps[i])).collect();
        if keys.is_empty() {
            graph.shared_query_passes.push(queries);
        } else {
            graph.shared_key_passes.push(keys);
        }
    }
    Ok(())
}

/// Checks that the images of each pass have one size.
pub(crate) fn check_sizes_of_passes(
    checker: &Checker,
    graph: &Graph,
    images: &Table<ViewId, ViewImages>,
) -> Checked<()> {
    let of_queries = graph.shared_query_passes.iter();
    let of_queries = of_queries.map(|ids| ids.iter().map(|&id| StepId::Query(id)).collect::<Vec<_>>());
    let of_keys = graph.shared_key_passes.iter();
    let of_keys = of_keys.map(|ids| ids.iter().map(|&id| StepId::Key(id)).collect::<Vec<_>>());
    for steps in of_queries.chain(of_keys) {
        let images_of = |step| Through::of(graph, step).map(|through| images[through.view]);
        let [first, others @ ..] = &*steps else { continue };
        let Some(odd) = others.iter().find(|step| images_of(**step) != images_of(*first)) else { continue };
        let i = graph.steps.iter().position(|step| step == odd).expect("a pass is of steps of the graph");
        let name = graph.step_name(*first);
        return Err(checker.fault_at(
            &place(i, &["shared_pass"]),
            format!("its images have another size than those of `{name}`, and a pass has one size"),
            "give the images of each size a pass of their own",
        ));
    }
    Ok(())
}

/// What a step on a view goes through.
#[derive(Clone, Copy)]
struct Through {
    view: ViewId,
    weights: Weights,
    /// Its number among those of its weights.
    backbone: usize,
    has_gradient: bool,
    gives_map: bool,
}

impl Through {
    fn of(graph: &Graph, step: StepId) -> Option<Self> {
        let (weights, has_gradient, gives_map, (view, backbone)) = match step {
            StepId::Query(id) => {
                let step = &graph.queries[id];
                (Weights::Query, step.has_gradient, step.gives_map, on_view(&step.input)?)
            }
            StepId::Key(id) => {
                let step = &graph.keys[id].encode;
                (Weights::Momentum, false, step.gives_map, on_view(&step.input)?)
            }
            StepId::Loss(_) => return None,
        };
        Some(Self { view, weights, backbone, has_gradient, gives_map })
    }
}

fn on_view<B: Id, S>(input: &Input<B, S>) -> Option<(ViewId, usize)> {
    match input {
        Input::View { view, backbone } => Some((*view, backbone.index())),
        Input::Step(_) => None,
    }
}

fn query(step: StepId) -> Option<QueryId> {
    if let StepId::Query(id) = step { Some(id) } else { None }
}

fn key(step: StepId) -> Option<KeyId> {
    if let StepId::Key(id) = step { Some(id) } else { None }
}
