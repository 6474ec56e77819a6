//! The forward pass of a step, over the graph.

use std::collections::BTreeMap;

use dfdx::shapes::HasShape as _;
use dfdx::tensor::{PutTape as _, SplitTape as _};
use tensor_ops::{
    FeatureMap, Features, KeepLogits, Matrix, Mode, OpError, Precision, Recording, Scalar, concat_rows,
    features_from_rows, scale_loss, select_rows, to_rows,
};

use super::{Engine, EngineError};
use pipeline::{Action, AnyModule, Graph, Value, Weights};
use plugin_api::Rng;
use plugin_api::{Contrast, Keys};

/// What a forward pass gives.
pub struct Forward {
    /// Each loss of the graph.
    pub losses: Vec<Loss>,
    /// What the negatives take in after the step.
    pub keys: StepKeys,
    /// The sum of the losses, with its recording: what the backward pass starts from.
    pub(super) total: Scalar,
}

/// One loss of the graph.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The step's `id`.
    pub id: String,
    /// In nats, averaged over the batch.
    pub value: f32,
    /// What it is multiplied by in the sum that is minimized.
    pub weight: f32,
    /// Share of queries that are nearest to their own key, 0–1.
    pub top1: f32,
    /// `(N, 1 + K)` row by row, if asked for.
    pub logits: Option<Vec<f32>>,
}

/// The sum of `losses`, each times its weight.
pub(super) fn total(losses: &[Loss]) -> f32 {
    losses.iter().map(|loss| loss.weight * loss.value).sum()
}

/// The keys of a step, for each negatives module.
pub struct StepKeys(Vec<(usize, Matrix)>);

impl Forward {
    /// The sum of the losses, each times its weight.
    pub fn total(&self) -> f32 {
        total(&self.losses)
    }
}

/// What a step of the graph has given so far.
pub(super) enum Given {
    /// Queries: recorded until their first use.
    Recorded(Option<Features>),
    /// Keys.
    Plain(Matrix),
    /// A loss.
    Loss,
}

/// What the steps on views start from.
pub(super) enum Source<'a> {
    /// The images, by index into [`Graph::views`].
    Views(&'a [Option<FeatureMap>]),
    /// What the backbone has made of them before, by step.
    Features(Vec<Option<Features>>),
}

/// Losses as values, and as what gradients come from.
#[derive(Default)]
pub(super) struct Losses {
    pub(super) values: Vec<Loss>,
    pub(super) scalars: Vec<Scalar>,
}

impl Engine {
    /// Runs the graph on `views`, one for each of [`Graph::views`](pipeline::Graph::views).
    ///
    /// The momentum copies move first, by `momentum`; every key is made after that (He et al. 2020, algorithm 1).
    ///
    /// # Errors
    /// If a module refuses what it is given.
    pub fn forward(
        &mut self,
        views: Vec<FeatureMap>,
        momentum: f32,
        keep: KeepLogits,
    ) -> Result<Forward, EngineError> {
        self.update_momentum(momentum)?;
        let graph = self.graph.clone();
        let views: Vec<Option<FeatureMap>> = views.into_iter().map(Some).collect();
        let mut given = nothing_given(&graph);
        let losses = self.run(&graph, &mut Source::Views(&views), &mut given, |_| true, keep)?;
        let keys = self.keys_by_module(&graph, &given)?;
        Ok(Forward { losses: losses.values, total: tensor_ops::sum_losses(losses.scalars)?, keys })
    }

    /// Runs the steps of the graph that are `wanted` and not given yet, in order.
    pub(super) fn run(
        &mut self,
        graph: &Graph,
        source: &mut Source<'_>,
        given: &mut [Option<Given>],
        wanted: impl Fn(&Action) -> bool,
        keep: KeepLogits,
    ) -> Result<Losses, EngineError> {
        let mut losses = Losses::default();
        for (i, step) in graph.steps.iter().enumerate() {
            if given[i].is_some() || !wanted(&step.action) {
                continue;
            }
            let failed = |source| EngineError::Step { step: step.id.clone(), source };
            let result = match &step.action {
                Action::Encode { modules, input, weights, shuffle_batch } => {
                    let (modules, start) = match (input, &mut *source) {
                        (Value::Step(from), _) => (&modules[..], Start::Features(take(&mut given[*from]))),
                        (Value::View(view), Source::Views(views)) => {
                            (&modules[..], Start::Images(recorded(&views[*view], *weights)))
                        }
                        (Value::View(_), Source::Features(features)) => {
                            let features = features[i].take();
                            let features =
                                features.unwrap_or_else(|| unreachable!("every step on a view is cached"));
                            (&modules[1..], Start::Features(features))
                        }
                    };
                    let features = match start {
                        Start::Images(images) if *shuffle_batch => self.shuffled_chain(modules, images),
                        start => self.chain(modules, start, *weights, Mode::Train),
                    };
                    let features = features.map_err(failed)?;
                    match weights {
                        Weights::Query => Given::Recorded(Some(features)),
                        Weights::Momentum => Given::Plain(unrecorded(features)),
                    }
                }
                Action::Loss { module, queries, keys, weight } => {
                    let queries = take(&mut given[*queries]);
                    let Some(Given::Plain(keys)) = &given[*keys] else {
                        unreachable!("the graph check wants keys here")
                    };
                    let contrast = self.loss(*module, queries, keys, keep).map_err(failed)?;
                    let weight = *weight as f32;
                    losses.values.push(Loss {
                        id: step.id.clone(),
                        value: contrast.value,
                        weight,
                        top1: contrast.top1,
                        logits: contrast.logits,
                    });
                    losses.scalars.push(match weight {
                        1.0 => contrast.loss,
                        weight => scale_loss(contrast.loss, weight).map_err(failed)?,
                    });
                    Given::Loss
                }
            };
            given[i] = Some(result);
        }
        Ok(losses)
    }

    /// Gives every negatives module the keys of a step, once, in the order of the graph's steps.
    ///
    /// # Errors
    /// If a module refuses them.
    pub fn enqueue(&mut self, keys: &StepKeys) -> Result<(), EngineError> {
        for (module, keys) in &keys.0 {
            if let AnyModule::Loss(negatives) = &mut self.modules[*module].module {
                negatives.enqueue(keys)?;
            }
        }
        Ok(())
    }

    fn loss(
        &mut self,
        module: usize,
        queries: Features,
        keys: &Matrix,
        keep: KeepLogits,
    ) -> Result<Contrast, OpError> {
        let all = self.gather(keys)?;
        let first = self.collective.rank() * keys.shape().0;
        match &mut self.modules[module].module {
            AnyModule::Loss(negatives) => negatives.loss(queries, Keys { own: keys, all: &all, first }, keep),
            AnyModule::Backbone(_) | AnyModule::Head(_) => {
                unreachable!("the graph check wants negatives here")
            }
        }
    }

    /// The rows of all processes.
    fn gather(&self, rows: &Matrix) -> Result<Matrix, OpError> {
        if self.collective.n_processes() == 1 {
            return Ok(rows.clone());
        }
        let (_, d) = *rows.shape();
        let all = self.collective.gather(to_rows(rows));
        Ok(unrecorded(features_from_rows(&self.device, (all.len() / d, d), all, Recording::Off)?))
    }

    pub(super) fn keys_by_module(&self, graph: &Graph, given: &[Option<Given>]) -> Result<StepKeys, OpError> {
        let mut by_module = BTreeMap::new();
        for step in &graph.steps {
            if let Action::Loss { module, .. } = step.action {
                by_module.entry(module).or_insert_with(|| graph.key_steps(module));
            }
        }
        let keys = by_module.into_iter().map(|(module, steps)| {
            let parts: Vec<&Matrix> = steps
                .iter()
                .filter_map(|step| match &given[*step] {
                    Some(Given::Plain(keys)) => Some(keys),
                    Some(Given::Recorded(_) | Given::Loss) | None => None,
                })
                .collect();
            let gathered = parts.into_iter().map(|keys| self.gather(keys)).collect::<Result<Vec<_>, _>>()?;
            Ok((
                module,
                match &gathered[..] {
                    [only] => only.clone(),
                    several => concat_rows(&several.iter().collect::<Vec<_>>())?,
                },
            ))
        });
        Ok(StepKeys(keys.collect::<Result<_, OpError>>()?))
    }

    /// Runs encoder parts one after another.
    pub(super) fn chain(
        &mut self,
        modules: &[usize],
        start: Start,
        weights: Weights,
        mode: Mode,
    ) -> Result<Features, OpError> {
        let mut value = start;
        for module in modules {
            let named = match weights {
                Weights::Query => Some(&mut self.modules[*module]),
                Weights::Momentum => self.momentum_modules[*module].as_mut(),
            };
            let named = named.unwrap_or_else(|| unreachable!("every momentum step has its copies"));
            value = Start::Features(through(&mut named.module, value, mode, self.precision)?);
        }
        match value {
            Start::Features(features) => Ok(features),
            Start::Images(_) => unreachable!("a chain has at least one module"),
        }
    }

    /// In which order step number `step` of a run, from 0, shuffles a batch of `n` images.
    pub fn shuffle(seed: u64, step: u64, n: usize) -> Vec<usize> {
        Rng::new(seed, "batch shuffle", &[step]).permutation(n)
    }

    /// The chain on a shuffled batch, with the results back in order.
    ///
    /// Over several processes the whole batch is shuffled, and each process encodes its share (He et al. 2020, §3.3).
    fn shuffled_chain(&mut self, modules: &[usize], images: FeatureMap) -> Result<Features, OpError> {
        let n = images.n();
        let (n_processes, rank) = (self.collective.n_processes(), self.collective.rank());
        let order = Self::shuffle(self.seed, self.n_steps, n * n_processes);
        let share = &order[rank * n..(rank + 1) * n];
        let shuffled = if n_processes == 1 {
            images.select_images(share)?
        } else {
            let [_, h, w, c] = images.shape();
            let all = self.collective.gather(images.to_nhwc());
            let all = FeatureMap::from_nhwc(&self.device, [n * n_processes, h, w, c], &all, Recording::Off)?;
            all.select_images(share)?
        };
        let keys = self.chain(modules, Start::Images(shuffled), Weights::Momentum, Mode::Train)?;
        let all = self.gather(&unrecorded(keys))?;
        let mut back = vec![0; order.len()];
        for (position, image) in order.iter().enumerate() {
            back[*image] = position;
        }
        Ok(select_rows(&all, &back[rank * n..(rank + 1) * n])?.retaped())
    }
}

/// What a chain starts from.
pub(super) enum Start {
    Images(FeatureMap),
    Features(Features),
}

/// What an encoder part makes of `value`.
pub(super) fn through(
    module: &mut AnyModule,
    value: Start,
    mode: Mode,
    precision: Precision,
) -> Result<Features, OpError> {
    match (module, value) {
        (AnyModule::Backbone(backbone), Start::Images(images)) => {
            backbone.forward(images.with_precision(precision)?, mode)
        }
        (AnyModule::Head(head), Start::Features(features)) => head.forward(features, mode),
        _ => unreachable!("the graph check follows images and features"),
    }
}

pub(super) fn nothing_given(graph: &Graph) -> Vec<Option<Given>> {
    graph.steps.iter().map(|_| None).collect()
}

/// A handle on a view, recorded where gradients are wanted.
pub(super) fn recorded(view: &Option<FeatureMap>, weights: Weights) -> FeatureMap {
    let view = view.as_ref().unwrap_or_else(|| unreachable!("a pass has the views of its steps"));
    match weights {
        Weights::Query => view.share().with_recording(Recording::start()),
        Weights::Momentum => view.share(),
    }
}

/// A value, recorded if it can be. It stays for other uses: the tensor is the same, so its gradients add up.
fn take(given: &mut Option<Given>) -> Features {
    match given {
        Some(Given::Recorded(slot)) => {
            let features = slot.take().unwrap_or_else(|| unreachable!("a value is put back after each use"));
            *slot = Some(unrecorded(features.retaped()).put_tape(Recording::start()));
            features
        }
        Some(Given::Plain(keys)) => keys.retaped(),
        Some(Given::Loss) | None => unreachable!("the graph check wants features here"),
    }
}

pub(super) fn unrecorded(features: Features) -> Matrix {
    features.split_tape().0
}
