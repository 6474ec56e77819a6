//! What of a graph goes forward and backward at a time.

use pipeline::{Graph, Input, LossStepId, QueryId, Table};

/// Queries that come from one pass through a backbone, and the losses on them.
///
/// Branches share weights, and no values: the backward pass of one needs nothing that another has computed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Branch {
    /// A step on a view, and all steps that start from its result.
    pub(super) queries: Vec<QueryId>,
    pub(super) losses: Vec<LossStepId>,
}

/// The branches of `graph`, in the order of their steps on views.
pub(super) fn branches(graph: &Graph) -> Vec<Branch> {
    let mut branches: Vec<Branch> = Vec::new();
    let mut places: Table<QueryId, usize> = Table::default();
    for (id, step) in graph.queries.iter_with_ids() {
        let place = match step.input {
            Input::View { .. } => {
                branches.push(Branch::default());
                branches.len() - 1
            }
            Input::Step(from) => places[from],
        };
        branches[place].queries.push(id);
        places.push(place);
    }
    for (id, step) in graph.loss_steps.iter_with_ids() {
        branches[places[step.queries]].losses.push(id);
    }
    branches
}

#[cfg(test)]
mod tests {
    use pipeline::{BackboneId, Encode, Id as _, KeyId, LossId, LossStep, ViewId};

    use super::*;

    #[test]
    fn what_starts_from_one_view_is_one_branch() {
        let on_view = |view| Input::View { view: ViewId::at(view), backbone: BackboneId::at(0) };
        let on_step = |step| Input::Step(QueryId::at(step));
        let inputs = [on_view(0), on_view(1), on_step(1), on_step(0), on_view(0)];
        let query = |input| Encode { id: "q".into(), input, heads: vec![] };
        let loss = |queries| LossStep {
            id: "l".into(),
            loss: LossId::at(0),
            queries: QueryId::at(queries),
            keys: KeyId::at(0),
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
    }
}
