//! A step whose batch goes through the backbone in parts, with the gradients of the whole batch.
//!
//! See [`PartsMethod`](pipeline::PartsMethod) for the two ways. Memory is needed for the activations of one part, and for the features of all.

use tensor_ops::{
    FeatureMap, Features, Gradients, KeepLogits, Matrix, Mode, OpError, Recording, concat_rows,
    gradient_of_rows, select_rows, sum_weighted_by,
};

use super::encode::run_backbone;
use super::forward::{Shuffle, Starts, Views, unrecorded};
use super::running::Running;
use super::{Computed, Engine, EngineError, Loss};
use pipeline::{Graph, Input, KeyId, QueryId, Table, batch_shuffle};
use plugin_api::Entry;

impl Engine {
    /// All keys, then the gradients of each part's share of the loss.
    pub(super) fn accumulate<E: From<EngineError>>(
        &mut self,
        n: usize,
        momentum: f32,
        next: &mut dyn FnMut() -> Result<Vec<FeatureMap>, E>,
    ) -> Result<Computed, E> {
        self.update_momentum(momentum)?;
        let graph = self.graph.clone();
        let n_parts = self.parts.n_parts;

        let mut assemblies: Table<KeyId, Assembly> = graph.keys.iter().map(|_| Assembly::default()).collect();
        let mut running = Running::of(self);
        for part in 0..n_parts {
            running.start_part(self)?;
            let views = self.next_views(&graph, 0, next)?;
            let places = self.places(0, part, n);
            let keys = self.keys(&graph, Starts::views(&views), Shuffle::Done)?;
            for (assembly, rows) in assemblies.iter_mut().zip(&keys) {
                assembly.put(&places, rows.clone());
            }
            running.end_part(self)?;
        }
        running.set_means(self)?;
        let whole = |assembly: &Assembly| assembly.whole(n);
        let keys: Table<KeyId, Matrix> =
            assemblies.iter().map(whole).collect::<Result<_, _>>().map_err(op)?;

        let mut total = Gradients::default();
        let mut losses: Vec<Loss> = Vec::new();
        let mut running = Running::of(self);
        for part in 0..n_parts {
            running.start_part(self)?;
            let views = self.next_views(&graph, 1, next)?;
            let places = self.places(1, part, n);
            let own = |keys: &Matrix| select_rows(keys, &places);
            let keys: Table<KeyId, Matrix> = keys.iter().map(own).collect::<Result<_, _>>().map_err(op)?;
            let (values, mut gradients) =
                self.learn(&graph, Starts::views(&views), &keys, 1.0 / n_parts as f32, KeepLogits::No)?;
            add_shares(&mut losses, values, n_parts);
            self.add_gradients(&mut total, &mut gradients)?;
            running.end_part(self)?;
        }
        running.set_means(self)?;
        let keys = self.keys_by_loss(&graph, &keys).map_err(op)?;
        Ok(Computed { losses, gradients: total, keys })
    }

    /// The features of all parts, the losses of the whole batch, and the gradients of the features back through the parts.
    pub(super) fn cache_features<E: From<EngineError>>(
        &mut self,
        n: usize,
        momentum: f32,
        next: &mut dyn FnMut() -> Result<Vec<FeatureMap>, E>,
    ) -> Result<Computed, E> {
        self.update_momentum(momentum)?;
        let graph = self.graph.clone();
        let n_parts = self.parts.n_parts;

        let mut of_queries: Table<QueryId, Option<Assembly>> =
            graph.queries.iter().map(|step| on_view(step.input)).collect();
        let mut of_keys: Table<KeyId, Option<Assembly>> =
            graph.keys.iter().map(|step| on_view(step.encode.input)).collect();
        let mut running = Running::of(self);
        for part in 0..n_parts {
            running.start_part(self)?;
            let views = self.next_views(&graph, 0, next)?;
            let places = self.places(0, part, n);
            for ((id, _), assembly) in graph.queries.iter_with_ids().zip(&mut of_queries) {
                let features = self.query_features(&graph, &views, id, Recording::Off)?;
                put(assembly, &places, features);
            }
            for ((id, _), assembly) in graph.keys.iter_with_ids().zip(&mut of_keys) {
                let features = self.key_features(&graph, &views, id)?;
                put(assembly, &places, features);
            }
            running.end_part(self)?;
        }
        running.set_means(self)?;

        let features_of_queries = wholes(&of_queries, n).map_err(op)?;
        let features_of_keys = wholes(&of_keys, n).map_err(op)?;
        let leaves = features_of_queries.clone();
        drop((of_queries, of_keys));
        let none = Views::default();
        let keys = self.keys(&graph, Starts { views: &none, features: features_of_keys }, Shuffle::Done)?;
        let starts = Starts { views: &none, features: features_of_queries };
        let (losses, mut gradients) = self.learn(&graph, starts, &keys, 1.0, KeepLogits::No)?;
        let keys = self.keys_by_loss(&graph, &keys).map_err(op)?;
        let leaf_gradients: Table<QueryId, Option<Matrix>> = leaves
            .iter()
            .map(|leaf| leaf.as_ref().map(|leaf| gradient_of_rows(leaf, &mut gradients)).transpose())
            .collect::<Result<_, _>>()
            .map_err(op)?;

        // The statistics of this batch are in already, and a backbone does not use its running ones in training.
        let running = Running::of(self);
        for part in 0..n_parts {
            let views = self.next_views(&graph, 1, next)?;
            let places = self.places(1, part, n);
            for (id, wanted) in leaf_gradients.iter_with_ids() {
                let Some(wanted) = wanted else { continue };
                let Some(rows) = self.query_features(&graph, &views, id, Recording::start())? else {
                    continue;
                };
                let share = select_rows(wanted, &places)
                    .and_then(|wanted| sum_weighted_by(rows, &wanted))
                    .map_err(op)?;
                let mut part = tensor_ops::backward(share).map_err(op)?;
                self.add_gradients(&mut gradients, &mut part)?;
            }
        }
        running.restore(self)?;
        Ok(Computed { losses, gradients, keys })
    }

    /// What the backbone of a step that makes queries makes of its view; `None` for a step on a step.
    fn query_features(
        &mut self,
        graph: &Graph,
        views: &Views,
        step: QueryId,
        recording: Recording,
    ) -> Result<Option<Features>, EngineError> {
        let step = &graph.queries[step];
        let Input::View { view, backbone } = step.input else { return Ok(None) };
        let images = views.of(graph, view)?.with_recording(recording);
        let backbone = &mut *self.modules.encoders.backbones[backbone].module;
        let features = run_backbone(backbone, images, Mode::Train, self.precision);
        features.map(Some).map_err(|source| EngineError::Step { step: step.id.clone(), source })
    }

    /// What the backbone of a step that makes keys makes of its view; `None` for a step on a step.
    fn key_features(
        &mut self,
        graph: &Graph,
        views: &Views,
        step: KeyId,
    ) -> Result<Option<Features>, EngineError> {
        let step = &graph.keys[step].encode;
        let Input::View { view, backbone } = step.input else { return Ok(None) };
        let images = views.of(graph, view)?;
        let backbone = &mut *self.momentum_modules.backbones[backbone].module;
        let features = run_backbone(backbone, images, Mode::Train, self.precision);
        features.map(Some).map_err(|source| EngineError::Step { step: step.id.clone(), source })
    }

    /// The views of a pass.
    fn next_views<E: From<EngineError>>(
        &self,
        graph: &Graph,
        pass: usize,
        next: &mut dyn FnMut() -> Result<Vec<FeatureMap>, E>,
    ) -> Result<Views, E> {
        Ok(Views::new(graph, &self.parts.passes[pass].views, next()?))
    }

    /// Where in the batch the images of a part belong.
    fn places(&self, pass: usize, part: usize, n: usize) -> Vec<usize> {
        let places = self.parts.places(part, n);
        if self.parts.passes[pass].is_shuffled {
            let order = batch_shuffle(self.seed, self.n_steps, n);
            places.map(|place| order[place]).collect()
        } else {
            places.collect()
        }
    }

    /// Adds the gradients of a part to `total`, parameter after parameter.
    fn add_gradients(&mut self, total: &mut Gradients, part: &mut Gradients) -> Result<(), EngineError> {
        let mut result = Ok(());
        for (_, module) in self.modules.named() {
            module.visit(&mut |_, entry| {
                if let (Entry::Parameter(parameter), true) = (entry, result.is_ok()) {
                    result = parameter.add_gradient(total, part);
                }
            });
        }
        Ok(result?)
    }
}

fn op(error: OpError) -> EngineError {
    error.into()
}

/// Adds a part's losses, each its share of the batch's.
fn add_shares(losses: &mut Vec<Loss>, part: Vec<Loss>, n_parts: usize) {
    let share = 1.0 / n_parts as f32;
    for (i, loss) in part.into_iter().enumerate() {
        if losses.len() == i {
            losses.push(Loss { value: 0.0, top1: 0.0, ..loss.clone() });
        }
        losses[i].value += loss.value * share;
        losses[i].top1 += loss.top1 * share;
    }
}

/// The rows that a step gives, put together from parts.
#[derive(Default)]
struct Assembly {
    /// Of the rows in their batch.
    places: Vec<usize>,
    parts: Vec<Matrix>,
}

impl Assembly {
    fn put(&mut self, places: &[usize], rows: Matrix) {
        self.places.extend(places);
        self.parts.push(rows);
    }

    /// All `n` rows of the batch, in its order.
    fn whole(&self, n: usize) -> Result<Matrix, OpError> {
        let mut order = vec![0; n];
        for (row, place) in self.places.iter().enumerate() {
            order[*place] = row;
        }
        let whole = concat_rows(&self.parts.iter().collect::<Vec<_>>())?;
        select_rows(&whole, &order)
    }
}

/// Room for the features of a step on a view.
fn on_view<B, S>(input: Input<B, S>) -> Option<Assembly> {
    match input {
        Input::View { .. } => Some(Assembly::default()),
        Input::Step(_) => None,
    }
}

fn put(assembly: &mut Option<Assembly>, places: &[usize], features: Option<Features>) {
    if let (Some(assembly), Some(features)) = (assembly, features) {
        assembly.put(places, unrecorded(features));
    }
}

/// The features of whole batches.
fn wholes<I: pipeline::Id>(
    assemblies: &Table<I, Option<Assembly>>,
    n: usize,
) -> Result<Table<I, Option<Matrix>>, OpError> {
    let whole = |assembly: &Assembly| assembly.whole(n);
    assemblies.iter().map(|assembly| assembly.as_ref().map(whole).transpose()).collect()
}
