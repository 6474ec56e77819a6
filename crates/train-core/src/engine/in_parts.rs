//! A step whose batch goes through the backbone in parts, with the gradients of the whole batch.
//!
//! See [`PartsMethod`](pipeline::PartsMethod) for the two ways. Memory is needed for the activations of one part, and for the features of all.

use tensor_ops::{
    Gradients, KeepLogits, Matrix, OpError, Recording, backward_onto, backward_watched, gradient_of_rows,
    select_rows, sum_weighted_by,
};

use super::forward::{Shuffle, Starts, Views, unrecorded};
use super::gradient_sum::GradientSum;
use super::running::Running;
use super::shared_pass::{apart, together};
use super::{Computed, Engine, EngineError, Images, Loss};
use pipeline::{Graph, KeyId, QueryId, Table, batch_shuffle};

/// Places in the split, and classes, of the images of a part.
type PartImages = (Vec<usize>, Vec<u32>);

impl Engine {
    /// All keys, then the gradients of each part's share of the loss.
    pub(super) fn accumulate<E: From<EngineError>>(
        &mut self,
        n: usize,
        momentum: f32,
        next: &mut dyn FnMut() -> Result<Images, E>,
    ) -> Result<Computed, E> {
        self.update_momentum(momentum)?;
        let graph = self.graph.clone();
        let share = 1.0 / self.parts.n_parts as f32;

        let mut of_parts: Table<KeyId, Vec<Matrix>> = graph.keys.iter().map(|_| Vec::new()).collect();
        let mut running = Running::of(self);
        for part in self.own_parts() {
            running.start_part(self)?;
            let (views, _) = self.next_views(&graph, (0, part), n, next)?;
            let keys = self.keys(&graph, Starts::views(&views), Shuffle::Done)?;
            for (of_parts, rows) in of_parts.iter_mut().zip(&keys) {
                of_parts.push(rows.clone());
            }
            running.end_part(self)?;
        }
        running.set_means(self)?;
        let whole = |of_parts: &Vec<Matrix>| self.whole(0, n, of_parts);
        let keys: Table<KeyId, Matrix> = of_parts.iter().map(whole).collect::<Result<_, _>>()?;

        let mut sum = GradientSum::default();
        let mut losses: Vec<Vec<Loss>> = Vec::new();
        let mut running = Running::of(self);
        for part in self.own_parts() {
            running.start_part(self)?;
            let (views, _) = self.next_views(&graph, (1, part), n, next)?;
            let places = self.places(1, part, n);
            let own = |keys: &Matrix| select_rows(keys, &places);
            let keys: Table<KeyId, Matrix> = keys.iter().map(own).collect::<Result<_, _>>().map_err(op)?;
            let is_last = part + 1 == self.own_parts().end;
            let watch = if is_last { sum.watch(self)? } else { None };
            let (of_part, gradients) =
                self.learn(&graph, Starts::views(&views), &keys, share, KeepLogits::No, watch)?;
            losses.push(of_part);
            sum.push(self, gradients)?;
            running.end_part(self)?;
        }
        running.set_means(self)?;
        let losses = self.whole_losses(&losses)?;
        let gradients = sum.finish(self)?;
        let keys = self.keys_by_loss(&graph, &keys).map_err(op)?;
        Ok(Computed { losses, gradients, keys })
    }

    /// The features of all parts, the losses of the whole batch, and the gradients of the features back through the parts.
    pub(super) fn cache_features<E: From<EngineError>>(
        &mut self,
        n: usize,
        momentum: f32,
        next: &mut dyn FnMut() -> Result<Images, E>,
    ) -> Result<Computed, E> {
        self.update_momentum(momentum)?;
        let graph = self.graph.clone();

        let mut of_queries: Table<QueryId, Vec<Matrix>> = graph.queries.iter().map(|_| Vec::new()).collect();
        let mut of_keys: Table<KeyId, Vec<Matrix>> = graph.keys.iter().map(|_| Vec::new()).collect();
        let mut images = Vec::new();
        let mut running = Running::of(self);
        for part in self.own_parts() {
            running.start_part(self)?;
            let (views, of_part) = self.next_views(&graph, (0, part), n, next)?;
            images.push(of_part);
            for steps in graph.query_passes() {
                let features = self.query_features(&graph, &views, &steps, Recording::Off)?;
                for (id, rows) in steps.iter().zip(apart(unrecorded(features), steps.len()).map_err(op)?) {
                    of_queries[*id].push(rows);
                }
            }
            self.add_key_features(&graph, &views, &mut of_keys)?;
            running.end_part(self)?;
        }
        running.set_means(self)?;
        if self.has_objectives() {
            self.set_images_of_parts(n, &images)?;
        }

        let features_of_queries = self.wholes(&of_queries, n)?;
        let features_of_keys = self.wholes(&of_keys, n)?;
        let leaves = features_of_queries.clone();
        drop((of_queries, of_keys));
        let none = Views::default();
        let keys = self.keys(&graph, Starts { views: &none, features: features_of_keys }, Shuffle::Done)?;
        let starts = Starts { views: &none, features: features_of_queries };
        let (losses, mut gradients) = self.learn(&graph, starts, &keys, 1.0, KeepLogits::No, None)?;
        let keys = self.keys_by_loss(&graph, &keys).map_err(op)?;
        let leaf_gradients: Table<QueryId, Option<Matrix>> = leaves
            .iter_with_ids()
            .map(|(id, leaf)| {
                let trained = leaf.as_ref().filter(|_| graph.queries[id].has_gradient);
                trained.map(|leaf| gradient_of_rows(leaf, &mut gradients)).transpose()
            })
            .collect::<Result<_, _>>()
            .map_err(op)?;

        // The statistics of this batch are in already, and a backbone does not use its running ones in training.
        let running = Running::of(self);
        let mut sum = GradientSum::default();
        let is_trained = |steps: &Vec<QueryId>| leaf_gradients[steps[0]].is_some();
        let passes: Vec<Vec<QueryId>> = graph.query_passes().into_iter().filter(is_trained).collect();
        for part in self.own_parts() {
            let (views, _) = self.next_views(&graph, (1, part), n, next)?;
            let places = self.places(1, part, n);
            let mut of_part = Gradients::default();
            for (i, steps) in passes.iter().enumerate() {
                let is_last = part + 1 == self.own_parts().end && i + 1 == passes.len();
                let watch = if is_last { sum.watch(self)? } else { None };
                let rows = self.query_features(&graph, &views, steps, Recording::start())?;
                let wanted = steps.iter().filter_map(|id| leaf_gradients[*id].as_ref());
                let wanted: Vec<Matrix> = wanted
                    .map(|wanted| select_rows(wanted, &places))
                    .collect::<Result<_, _>>()
                    .map_err(op)?;
                let share = together(wanted).and_then(|wanted| sum_weighted_by(rows, &wanted)).map_err(op)?;
                of_part = match watch {
                    Some(watch) => backward_watched(share, of_part, watch),
                    None => backward_onto(share, of_part),
                }
                .map_err(op)?;
            }
            sum.push(self, of_part)?;
        }
        running.restore(self)?;
        let mut of_backbones = sum.finish(self)?;
        self.add_gradients(&mut gradients, &mut of_backbones)?;
        Ok(Computed { losses, gradients, keys })
    }

    /// Adds what the backbones of keys make of the views of a part, for the steps that have a view.
    pub(super) fn add_key_features(
        &mut self,
        graph: &Graph,
        views: &Views,
        of_parts: &mut Table<KeyId, Vec<Matrix>>,
    ) -> Result<(), EngineError> {
        for steps in graph.key_passes() {
            let features = self.key_features(graph, views, &steps)?;
            for (id, rows) in steps.iter().zip(apart(features, steps.len())?) {
                of_parts[*id].push(rows);
            }
        }
        Ok(())
    }

    /// The views of a part of a pass, of a batch of `n` images.
    fn next_views<E: From<EngineError>>(
        &self,
        graph: &Graph,
        (pass, part): (usize, usize),
        n: usize,
        next: &mut dyn FnMut() -> Result<Images, E>,
    ) -> Result<(Views, PartImages), E> {
        let places = self.places(pass, part, n);
        let Images { views, indices, labels } = next()?;
        Ok((Views::new(graph, &self.parts.passes[pass].views, views, places), (indices, labels)))
    }

    /// Where in the batch the images of a part belong.
    pub(super) fn places(&self, pass: usize, part: usize, n: usize) -> Vec<usize> {
        let places = self.parts.places(part, n);
        if self.parts.passes[pass].is_shuffled {
            let order = batch_shuffle(self.seed, self.n_steps, n);
            places.map(|place| order[place]).collect()
        } else {
            places.collect()
        }
    }

    /// The features of whole batches, for the steps that have a view.
    pub(super) fn wholes<I: pipeline::Id>(
        &self,
        of_steps: &Table<I, Vec<Matrix>>,
        n: usize,
    ) -> Result<Table<I, Option<Matrix>>, EngineError> {
        let whole = |of_parts: &Vec<Matrix>| match of_parts.is_empty() {
            true => Ok(None),
            false => self.whole(0, n, of_parts).map(Some),
        };
        of_steps.iter().map(whole).collect()
    }
}

fn op(error: OpError) -> EngineError {
    error.into()
}
