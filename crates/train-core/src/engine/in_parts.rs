//! A step whose batch goes through the backbone in parts, with the gradients of the whole batch.
//!
//! See [`PartsMethod`] for the two ways. Memory is needed for the activations of one part, and for the features of all.

use dfdx::tensor::PutTape as _;
use tensor_ops::{
    FeatureMap, Features, Gradients, KeepLogits, Matrix, Mode, OpError, Recording, Scalar, concat_rows,
    gradient_of_rows, scale_loss, select_rows, sum_weighted_by,
};

use super::forward::{Given, Losses, Source, Start, StepKeys, nothing_given, recorded, total, unrecorded};
use super::running::Running;
use super::{Engine, EngineError, Loss};
use pipeline::{Action, Graph, PartsMethod, Value, Weights};
use plugin_api::{Entry, Module as _};

/// What a step computes before any weight moves.
pub struct Computed {
    /// Each loss of the graph, without logits.
    pub losses: Vec<Loss>,
    /// Of every trainable parameter.
    pub gradients: Gradients,
    /// What the negatives take in after the step.
    pub keys: StepKeys,
}

impl Computed {
    /// The sum of the losses, each times its weight.
    pub fn total(&self) -> f32 {
        total(&self.losses)
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
    pub fn compute<E: From<EngineError>>(
        &mut self,
        n: usize,
        momentum: f32,
        next: &mut dyn FnMut() -> Result<Vec<FeatureMap>, E>,
    ) -> Result<Computed, E> {
        match self.parts.method {
            PartsMethod::Whole => {
                let views = next()?;
                let forward = self.forward(views, momentum, KeepLogits::No)?;
                let super::Forward { losses, keys, total } = forward;
                Ok(Computed { losses, keys, gradients: tensor_ops::backward(total).map_err(op)? })
            }
            PartsMethod::Accumulate => self.accumulate(n, momentum, next),
            PartsMethod::CacheFeatures => self.cache_features(n, momentum, next),
        }
    }

    /// All keys, then the gradients of each part's share of the loss.
    fn accumulate<E: From<EngineError>>(
        &mut self,
        n: usize,
        momentum: f32,
        next: &mut dyn FnMut() -> Result<Vec<FeatureMap>, E>,
    ) -> Result<Computed, E> {
        self.update_momentum(momentum)?;
        let graph = self.graph.clone();
        let n_parts = self.parts.n_parts;

        // A part is shuffled by what it is given, not once more.
        let unshuffled = without_shuffles(&graph);
        let mut keys = Assembly::new(&graph, n);
        let mut running = Running::of(self);
        for part in 0..n_parts {
            running.start_part(self)?;
            let views = self.next_views(&graph, 0, next)?;
            let places = self.places(0, part, n);
            let mut given = nothing_given(&graph);
            self.run(&unshuffled, &mut Source::Views(&views), &mut given, is_key, KeepLogits::No)?;
            for (step, given) in given.iter().enumerate() {
                if let Some(Given::Plain(rows)) = given {
                    keys.put(step, &places, rows.clone());
                }
            }
            running.end_part(self)?;
        }
        running.set_means(self)?;
        let keys: Vec<Option<Given>> = (0..graph.steps.len())
            .map(|step| keys.take(step, Recording::Off).map(|keys| keys.map(unrecorded)))
            .map(|keys| keys.transpose().map(|keys| keys.map(Given::Plain)))
            .collect::<Result<_, _>>()
            .map_err(op)?;

        let mut total = Gradients::leaky();
        let mut losses: Vec<Loss> = Vec::new();
        let mut running = Running::of(self);
        for part in 0..n_parts {
            running.start_part(self)?;
            let views = self.next_views(&graph, 1, next)?;
            let places: Vec<usize> = self.places(1, part, n);
            let mut given: Vec<Option<Given>> = keys
                .iter()
                .map(|keys| match keys {
                    Some(Given::Plain(keys)) => {
                        select_rows(keys, &places).map(|rows| Some(Given::Plain(rows)))
                    }
                    _ => Ok(None),
                })
                .collect::<Result<_, _>>()
                .map_err(op)?;
            let Losses { values, scalars } =
                self.run(&graph, &mut Source::Views(&views), &mut given, |_| true, KeepLogits::No)?;
            add_shares(&mut losses, values, n_parts);
            let share = tensor_ops::sum_losses(scalars)
                .and_then(|sum| scale_loss(sum, 1.0 / n_parts as f32))
                .map_err(op)?;
            self.add_gradients(&mut total, share)?;
            running.end_part(self)?;
        }
        running.set_means(self)?;
        let keys = self.keys_by_module(&graph, &keys).map_err(op)?;
        Ok(Computed { losses, gradients: total, keys })
    }

    /// The features of all parts, the losses of the whole batch, and the gradients of the features back through the parts.
    fn cache_features<E: From<EngineError>>(
        &mut self,
        n: usize,
        momentum: f32,
        next: &mut dyn FnMut() -> Result<Vec<FeatureMap>, E>,
    ) -> Result<Computed, E> {
        self.update_momentum(momentum)?;
        let graph = self.graph.clone();
        let n_parts = self.parts.n_parts;

        let mut features = Assembly::new(&graph, n);
        let mut running = Running::of(self);
        for part in 0..n_parts {
            running.start_part(self)?;
            let views = self.next_views(&graph, 0, next)?;
            let places = self.places(0, part, n);
            for (step, modules, view, weights) in encodes_of_views(&graph) {
                let images = recorded(&views[view], Weights::Momentum);
                let rows = self.backbone(&graph, step, modules, images, weights)?;
                features.put(step, &places, unrecorded(rows));
            }
            running.end_part(self)?;
        }
        running.set_means(self)?;

        let mut leaves: Vec<Option<Matrix>> = Vec::new();
        let mut starts: Vec<Option<Features>> = Vec::new();
        for (step, description) in graph.steps.iter().enumerate() {
            let is_query = matches!(description.action, Action::Encode { weights: Weights::Query, .. });
            let recording = if is_query { Recording::start() } else { Recording::Off };
            let start = features.take(step, recording).transpose().map_err(op)?;
            leaves.push(start.as_ref().filter(|_| is_query).map(|start| unrecorded(start.retaped())));
            starts.push(start);
        }
        let mut given = nothing_given(&graph);
        let losses = self.run(&graph, &mut Source::Features(starts), &mut given, |_| true, KeepLogits::No)?;
        let keys = self.keys_by_module(&graph, &given).map_err(op)?;
        drop(given);
        let total = tensor_ops::sum_losses(losses.scalars).map_err(op)?;
        let mut gradients = tensor_ops::backward(total).map_err(op)?;
        let leaf_gradients: Vec<Option<Matrix>> = leaves
            .into_iter()
            .map(|leaf| leaf.map(|leaf| gradient_of_rows(&leaf, &mut gradients)).transpose())
            .collect::<Result<_, _>>()
            .map_err(op)?;

        // The statistics of this batch are in already, and a backbone does not use its running ones in training.
        let running = Running::of(self);
        for part in 0..n_parts {
            let views = self.next_views(&graph, 1, next)?;
            let places = self.places(1, part, n);
            for (step, modules, view, weights) in encodes_of_views(&graph) {
                let Some(wanted) = &leaf_gradients[step] else { continue };
                let images = recorded(&views[view], weights);
                let rows = self.backbone(&graph, step, modules, images, weights)?;
                let share = select_rows(wanted, &places)
                    .and_then(|wanted| sum_weighted_by(rows, &wanted))
                    .map_err(op)?;
                self.add_gradients(&mut gradients, share)?;
            }
        }
        running.restore(self)?;
        Ok(Computed { losses: losses.values, gradients, keys })
    }

    /// The first module of a chain, on images.
    fn backbone(
        &mut self,
        graph: &Graph,
        step: usize,
        modules: &[usize],
        images: FeatureMap,
        weights: Weights,
    ) -> Result<Features, EngineError> {
        self.chain(&modules[..1], Start::Images(images), weights, Mode::Train)
            .map_err(|source| EngineError::Step { step: graph.steps[step].id.clone(), source })
    }

    /// The views of a pass, by index into [`Graph::views`].
    fn next_views<E: From<EngineError>>(
        &self,
        graph: &Graph,
        pass: usize,
        next: &mut dyn FnMut() -> Result<Vec<FeatureMap>, E>,
    ) -> Result<Vec<Option<FeatureMap>>, E> {
        let mut views: Vec<Option<FeatureMap>> = graph.views.iter().map(|_| None).collect();
        for (&index, images) in self.parts.passes[pass].views.iter().zip(next()?) {
            views[index] = Some(images);
        }
        Ok(views)
    }

    /// Where in the batch the images of a part belong.
    fn places(&self, pass: usize, part: usize, n: usize) -> Vec<usize> {
        let places = self.parts.places(part, n);
        if self.parts.passes[pass].is_shuffled {
            let order = Self::shuffle(self.seed, self.n_steps, n);
            places.map(|place| order[place]).collect()
        } else {
            places.collect()
        }
    }

    /// Adds the gradients of `loss` to `total`, parameter after parameter.
    fn add_gradients(&mut self, total: &mut Gradients, loss: Scalar) -> Result<(), EngineError> {
        let mut part = tensor_ops::backward(loss)?;
        let mut result = Ok(());
        for named in &mut self.modules {
            named.module.visit(&mut |_, entry| {
                if let (Entry::Parameter(parameter), true) = (entry, result.is_ok()) {
                    result = parameter.add_gradient(total, &mut part);
                }
            });
        }
        Ok(result?)
    }
}

fn op(error: OpError) -> EngineError {
    error.into()
}

fn is_key(action: &Action) -> bool {
    matches!(action, Action::Encode { weights: Weights::Momentum, .. })
}

fn without_shuffles(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    for step in &mut graph.steps {
        if let Action::Encode { shuffle_batch, .. } = &mut step.action {
            *shuffle_batch = false;
        }
    }
    graph
}

/// The steps that start from a view: their number, modules, view and weights.
fn encodes_of_views(graph: &Graph) -> impl Iterator<Item = (usize, &[usize], usize, Weights)> {
    graph.steps.iter().enumerate().filter_map(|(step, description)| match &description.action {
        Action::Encode { modules, input: Value::View(view), weights, .. } => {
            Some((step, &modules[..], *view, *weights))
        }
        Action::Encode { .. } | Action::Loss { .. } => None,
    })
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

/// The rows that steps give, put together from parts.
struct Assembly {
    n: usize,
    /// By step: the places of rows, and the rows, part by part.
    parts: Vec<(Vec<usize>, Vec<Matrix>)>,
}

impl Assembly {
    fn new(graph: &Graph, n: usize) -> Self {
        Self { n, parts: graph.steps.iter().map(|_| Default::default()).collect() }
    }

    fn put(&mut self, step: usize, places: &[usize], rows: Matrix) {
        let (all_places, parts) = &mut self.parts[step];
        all_places.extend(places);
        parts.push(rows);
    }

    fn take(&mut self, step: usize, recording: Recording) -> Option<Result<Features, OpError>> {
        let (places, parts) = std::mem::take(&mut self.parts[step]);
        if parts.is_empty() {
            return None;
        }
        let mut order = vec![0; self.n];
        for (row, place) in places.into_iter().enumerate() {
            order[place] = row;
        }
        let whole = concat_rows(&parts.iter().collect::<Vec<_>>());
        Some(whole.and_then(|whole| select_rows(&whole, &order)).map(|rows| rows.put_tape(recording)))
    }
}
