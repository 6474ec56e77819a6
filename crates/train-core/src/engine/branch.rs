//! What of a graph goes forward and backward at a time.

use pipeline::{Graph, Input, LossStepId, QueryId, Table};

/// Queries that come from one pass through a backbone, or from several that a loss or a shared pass brings together, and the losses
/// on them.
///
/// Branches share weights, and no values: the backward pass of one needs nothing that another has computed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Branch {
    /// Steps on views, and all steps that start from their results, each after what it starts from.
    pub(super) queries: Vec<QueryId>,
    pub(super) losses: Vec<LossStepId>,
}

/// The branches of `graph`, in the order of their first steps on views.
pub(super) fn branches(graph: &Graph) -> Vec<Branch> {
    // The pass that each step comes from; passes that meet in a loss have the number of the first of them.
    let mut passes: Table<QueryId, usize> = Table::default();
    let mut n_passes = 0;
    for step in &graph.queries {
        let pass = match step.input {
            Input::View { .. } => {
                n_passes += 1;
                n_passes - 1
            }
            Input::Step(from) => passes[from],
        };
        passes.push(pass);
    }
    let of_losses = graph.loss_steps.iter().map(|step| step.on.queries().collect());
    for steps in of_losses.chain(graph.shared_query_passes.iter().cloned()) {
        let steps: Vec<QueryId> = steps;
        let together: Vec<usize> = steps.into_iter().map(|id| passes[id]).collect();
        let Some(&first) = together.iter().min() else { continue };
        for pass in passes.iter_mut().filter(|pass| together.contains(pass)) {
            *pass = first;
        }
    }
    let mut numbers: Vec<usize> = passes.iter().copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut branches: Vec<Branch> = numbers.iter().map(|_| Branch::default()).collect();
    let place = |id: QueryId| numbers.partition_point(|number| *number < passes[id]);
    for (id, _) in graph.queries.iter_with_ids() {
        branches[place(id)].queries.push(id);
    }
    for (id, step) in graph.loss_steps.iter_with_ids() {
        if let Some(query) = step.on.queries().next() {
            branches[place(query)].losses.push(id);
        }
    }
    branches
}

#[cfg(test)]
mod tests {
    use pipeline::{BackboneId, Encode, Id as _, KeyId, LossId, LossInputs, LossStep, ValueId, ViewId};

    use super::*;

    #[test]
    fn what_starts_from_one_view_is_one_branch() {
        let on_view = |view| Input::View { view: ViewId::at(view), backbone: BackboneId::at(0) };
        let on_step = |step| Input::Step(QueryId::at(step));
        let inputs = [on_view(0), on_view(1), on_step(1), on_step(0), on_view(0)];
        let query =
            |input| Encode { id: "q".into(), input, heads: vec![], has_gradient: true, gives_map: false };
        let loss = |queries| LossStep {
            id: "l".into(),
            loss: LossId::at(0),
            on: LossInputs::Contrast { queries: QueryId::at(queries), keys: KeyId::at(0) },
            weight: 1.0,
        };
        let graph = Graph {
            queries: inputs.into_iter().map(query).collect(),
            loss_steps: [2, 3, 1].into_iter().map(loss).collect(),
            ..Graph::default()
        };
        let branch = |queries: &[usize], losses: &[usize]| Branch {
            queries: queries.iter().copied().map(QueryId::at).collect(),
            losses: losses.iter().copied().map(LossStepId::at).collect(),
        };
        assert_eq!(branches(&graph), [branch(&[0, 3], &[1]), branch(&[1, 2], &[0, 2]), branch(&[4], &[])]);
        assert_eq!(graph.trained(), [0, 1, 2, 3].map(QueryId::at).into());
        let targets =
            graph.queries.iter().map(|step| Encode { has_gradient: false, ..step.clone() }).collect();
        assert!(Graph { queries: targets, ..graph }.trained().is_empty());
    }
    #[test]
    fn what_a_loss_brings_together_is_one_branch() {
        let on_view = |view| Input::View { view: ViewId::at(view), backbone: BackboneId::at(0) };
        let inputs = [on_view(0), on_view(1), on_view(2), Input::Step(QueryId::at(1)), on_view(3)];
        let query =
            |input| Encode { id: "q".into(), input, heads: vec![], has_gradient: true, gives_map: false };
        let loss = |on: &[usize]| LossStep {
            id: "l".into(),
            loss: LossId::at(0),
            on: LossInputs::Values(on.iter().map(|&query| ValueId::Query(QueryId::at(query))).collect()),
            weight: 1.0,
        };
        let graph = Graph {
            queries: inputs.into_iter().map(query).collect(),
            loss_steps: [loss(&[4, 3]), loss(&[2]), loss(&[0, 4])].into_iter().collect(),
            ..Graph::default()
        };
        let branch = |queries: &[usize], losses: &[usize]| Branch {
            queries: queries.iter().copied().map(QueryId::at).collect(),
            losses: losses.iter().copied().map(LossStepId::at).collect(),
        };
        assert_eq!(branches(&graph), [branch(&[0, 1, 3, 4], &[0, 2]), branch(&[2], &[1])]);
    }
}
