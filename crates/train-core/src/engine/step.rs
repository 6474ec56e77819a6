//! What a step computes before any weight moves.

use dfdx::tensor::{Merge as _, PutTape as _, SplitTape as _};
use tensor_ops::{
    FeatureMap, GradientWatch, Gradients, KeepLogits, Matrix, OpError, Scalar, backward_onto,
    backward_watched, scale_loss,
};

use super::branch::branches;
use super::forward::{Shuffle, Starts, Views};
use super::{Engine, EngineError, Images, Loss, StepKeys};
use pipeline::{Graph, KeyId, LossStepId, PartsMethod, QueryId, Table};

/// What a step computes before any weight moves.
pub struct Computed {
    /// Each loss of the graph.
    pub losses: Vec<Loss>,
    /// Of every trainable parameter.
    pub gradients: Gradients,
    /// What the negatives take in after the step.
    pub keys: StepKeys,
}

impl Computed {
    /// The sum of the losses, each times its weight.
    pub fn total(&self) -> f32 {
        self.losses.iter().map(|loss| loss.weight * loss.value).sum()
    }
}

impl Engine {
    /// Losses and gradients of a batch of `n` images, which `next` gives part by part.
    ///
    /// `next` is called once for each part of each pass of the pipeline's [`Parts`](pipeline::Parts), in this order,
    /// and gives the pass's views.
    ///
    /// # Errors
    /// Those of `next`; and if a module refuses what it is given.
    pub fn compute<P: Into<Images>, E: From<EngineError>>(
        &mut self,
        n: usize,
        momentum: f32,
        next: &mut dyn FnMut() -> Result<P, E>,
    ) -> Result<Computed, E> {
        let mut next = || next().map(P::into);
        match self.parts.method {
            PartsMethod::Whole => Ok(self.compute_whole(next()?, momentum, KeepLogits::No)?),
            PartsMethod::Accumulate => self.accumulate(n, momentum, &mut next),
            PartsMethod::CacheFeatures => self.cache_features(n, momentum, &mut next),
        }
    }

    /// Losses and gradients of a batch that goes through the graph as a whole; `images` has one view for each of
    /// [`Graph::views`](pipeline::Graph::views).
    ///
    /// The momentum copies move first, by `momentum`, and make all keys, of which nothing is recorded. Queries follow, see
    /// [`Computed`]: so no more is in memory at a time than the recording of one pass through the backbone. The order is
    /// not that of He et al. 2020, algorithm 1, and the results are, since queries and keys do not depend on each other.
    ///
    /// # Errors
    /// If a view is missing, or a module refuses what it is given.
    pub fn compute_whole(
        &mut self,
        images: impl Into<Images>,
        momentum: f32,
        keep: KeepLogits,
    ) -> Result<Computed, EngineError> {
        let Images { views, indices, labels } = images.into();
        self.now.set_images(indices, labels);
        self.update_momentum(momentum)?;
        let graph = self.graph.clone();
        let all: Vec<usize> = (0..graph.views.len()).collect();
        let n = views.first().map_or(0, FeatureMap::n);
        let views = Views::new(&graph, &all, views, (0..n).collect());
        let keys = self.keys(&graph, Starts::views(&views), Shuffle::AsDeclared)?;
        let (losses, gradients) = self.learn(&graph, Starts::views(&views), &keys, 1.0, keep, None)?;
        Ok(Computed { losses, gradients, keys: self.keys_by_loss(&graph, &keys)? })
    }

    /// Makes all queries and compares them with `keys`; gives the losses, and the gradients of their sum times `share`.
    ///
    /// Each branch of the graph goes forward and then backward before the next one starts, so that one recording is in
    /// memory at a time. The gradients of what is watched are handed over while the last one goes backward.
    pub(super) fn learn(
        &mut self,
        graph: &Graph,
        mut starts: Starts<'_, QueryId>,
        keys: &Table<KeyId, Matrix>,
        share: f32,
        keep: KeepLogits,
        mut watch: Option<GradientWatch>,
    ) -> Result<(Vec<Loss>, Gradients), EngineError> {
        let mut gradients = Gradients::default();
        let mut losses: Vec<(LossStepId, Loss)> = Vec::new();
        let (branches, trained) = (branches(graph), graph.trained());
        let last = branches.iter().rposition(|branch| !branch.losses.is_empty());
        for (i, branch) in branches.into_iter().enumerate() {
            let queries = self.queries(graph, &branch.queries, &trained, &mut starts)?;
            let mut scalars = Vec::new();
            for id in branch.losses {
                let (loss, scalar) = self.compare(graph, id, &queries, keys, keep)?;
                losses.push((id, loss));
                scalars.push(scalar);
            }
            if !scalars.is_empty() {
                let (sum, of_losses) = times(tensor_ops::sum_losses(scalars)?, share)?.split_tape();
                let sum = sum.put_tape(queries.into_recordings().fold(of_losses, |all, one| all.merge(one)));
                gradients = match watch.take_if(|_| Some(i) == last) {
                    Some(watch) => backward_watched(sum, gradients, watch)?,
                    None => backward_onto(sum, gradients)?,
                };
            }
        }
        losses.sort_by_key(|(id, _)| *id);
        Ok((losses.into_iter().map(|(_, loss)| loss).collect(), gradients))
    }
}

/// A loss times a number, most often 1.
pub(super) fn times(loss: Scalar, factor: f32) -> Result<Scalar, OpError> {
    match factor {
        1.0 => Ok(loss),
        factor => scale_loss(loss, factor),
    }
}
