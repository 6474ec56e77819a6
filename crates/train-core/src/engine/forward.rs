//! The forward pass of a step, over the graph.

use std::collections::BTreeMap;

use dfdx::shapes::HasShape as _;
use dfdx::tensor::{AsArray as _, PutTape as _, SplitTape as _};
use tensor_ops::{
    FeatureMap, Features, KeepLogits, Matrix, Mode, OpError, Recording, Scalar, features_from_rows,
    select_rows, to_rows,
};

use super::{Engine, EngineError};
use crate::Draws;
use crate::pipeline::{Action, AnyModule, Value, Weights};
use crate::plugin::{Contrast, Keys};

/// What a forward pass gives.
pub struct Forward {
    /// Each loss of the graph.
    pub losses: Vec<Loss>,
    /// Their sum, with its recording: what the backward pass starts from.
    pub(super) total: Scalar,
    /// For each negatives module, the keys of this step.
    pub(super) keys: Vec<(usize, Matrix)>,
}

/// One loss of the graph.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The step's `id`.
    pub id: String,
    /// In nats, averaged over the batch.
    pub value: f32,
    /// Share of queries that are nearest to their own key, 0–1.
    pub top1: f32,
    /// `(N, 1 + K)` row by row, if asked for.
    pub logits: Option<Vec<f32>>,
}

impl Forward {
    /// The sum of the losses.
    pub fn total(&self) -> f32 {
        self.losses.iter().map(|loss| loss.value).sum()
    }
}

/// What a step of the graph has given so far.
enum Given {
    /// Queries: recorded until their first use.
    Recorded(Option<Features>),
    /// Keys.
    Plain(Matrix),
    /// A loss.
    Loss,
}

impl Engine {
    /// Runs the graph on `views`, one for each of [`Graph::views`](crate::pipeline::Graph::views).
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
        self.follow(momentum)?;
        let graph = self.graph.clone();
        let mut given: Vec<Given> = Vec::new();
        let mut losses = Vec::new();
        let mut scalars = Vec::new();
        for step in &graph.steps {
            let failed = |source| EngineError::Step { step: step.id.clone(), source };
            let result = match &step.action {
                Action::Encode { modules, input, weights: Weights::Query, .. } => {
                    let start = match input {
                        Value::View(view) => {
                            Start::Images(views[*view].share().with_recording(Recording::start()))
                        }
                        Value::Step(from) => Start::Features(take_recorded(&mut given[*from])),
                    };
                    Given::Recorded(Some(
                        self.chain(modules, start, Weights::Query, Mode::Train).map_err(failed)?,
                    ))
                }
                Action::Encode { modules, input, weights: Weights::Momentum, shuffle_batch } => {
                    let start = match input {
                        Value::View(view) => Start::Images(views[*view].share()),
                        Value::Step(from) => Start::Features(plain(&given[*from])),
                    };
                    let keys = if *shuffle_batch {
                        self.shuffled_chain(modules, start)
                    } else {
                        self.chain(modules, start, Weights::Momentum, Mode::Train)
                    };
                    Given::Plain(unrecorded(keys.map_err(failed)?))
                }
                Action::Compare { module, queries, keys } => {
                    let queries = take_recorded(&mut given[*queries]);
                    let Given::Plain(keys) = &given[*keys] else {
                        unreachable!("the graph check wants keys here")
                    };
                    let contrast = self.compare(*module, queries, keys, keep).map_err(failed)?;
                    losses.push(Loss {
                        id: step.id.clone(),
                        value: contrast.loss.array(),
                        top1: contrast.top1,
                        logits: contrast.logits,
                    });
                    scalars.push(contrast.loss);
                    Given::Loss
                }
            };
            given.push(result);
        }
        let keys = self.keys_by_module(&given);
        Ok(Forward { losses, total: tensor_ops::sum_losses(scalars)?, keys: keys? })
    }

    /// Gives every negatives module the keys of a step, once, in the order of the graph's steps.
    ///
    /// # Errors
    /// If a module refuses them.
    pub fn absorb(&mut self, forward: &Forward) -> Result<(), EngineError> {
        for (module, keys) in &forward.keys {
            if let AnyModule::Negatives(negatives) = &mut self.modules[*module].module {
                negatives.absorb(keys)?;
            }
        }
        Ok(())
    }

    fn compare(
        &mut self,
        module: usize,
        queries: Features,
        keys: &Matrix,
        keep: KeepLogits,
    ) -> Result<Contrast, OpError> {
        let all = self.gather(keys)?;
        let first = self.collective.rank() * keys.shape().0;
        match &mut self.modules[module].module {
            AnyModule::Negatives(negatives) => {
                negatives.compare(queries, Keys { own: keys, all: &all, first }, keep)
            }
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

    fn keys_by_module(&self, given: &[Given]) -> Result<Vec<(usize, Matrix)>, OpError> {
        let mut by_module = BTreeMap::new();
        for step in &self.graph.steps {
            if let Action::Compare { module, .. } = step.action {
                by_module.entry(module).or_insert_with(|| self.graph.key_steps(module));
            }
        }
        by_module
            .into_iter()
            .map(|(module, steps)| {
                let parts: Vec<&Matrix> = steps
                    .iter()
                    .filter_map(|step| match &given[*step] {
                        Given::Plain(keys) => Some(keys),
                        Given::Recorded(_) | Given::Loss => None,
                    })
                    .collect();
                let d = parts.first().map_or(0, |keys| keys.shape().1);
                let mut rows = Vec::new();
                for keys in parts {
                    rows.extend(self.collective.gather(to_rows(keys)));
                }
                let shape = (rows.len() / d.max(1), d);
                Ok((module, unrecorded(features_from_rows(&self.device, shape, rows, Recording::Off)?)))
            })
            .collect()
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
            value = Start::Features(match (&mut named.module, value) {
                (AnyModule::Backbone(backbone), Start::Images(images)) => backbone.forward(images, mode)?,
                (AnyModule::Head(head), Start::Features(features)) => head.forward(features, mode)?,
                _ => unreachable!("the graph check follows images and features"),
            });
        }
        match value {
            Start::Features(features) => Ok(features),
            Start::Images(_) => unreachable!("a chain has at least one module"),
        }
    }

    /// The chain on a shuffled batch, with the results back in order.
    ///
    /// Over several processes the whole batch is shuffled, and each process encodes its share (He et al. 2020, §3.3).
    fn shuffled_chain(&mut self, modules: &[usize], start: Start) -> Result<Features, OpError> {
        let Start::Images(images) = start else { unreachable!("only views are shuffled") };
        let n = images.n();
        let (n_processes, rank) = (self.collective.n_processes(), self.collective.rank());
        let order = Draws::new(self.seed, "batch shuffle", &[self.n_updates]).permutation(n * n_processes);
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

/// The recorded value, and leaves one that records anew: the tensor is the same, so its gradients add up.
fn take_recorded(given: &mut Given) -> Features {
    let Given::Recorded(slot) = given else { unreachable!("the graph check wants queries here") };
    let features = slot.take().unwrap_or_else(|| unreachable!("a value is put back after each use"));
    *slot = Some(unrecorded(features.retaped()).put_tape(Recording::start()));
    features
}

fn plain(given: &Given) -> Features {
    let Given::Plain(keys) = given else { unreachable!("the graph check wants keys here") };
    keys.retaped()
}

fn unrecorded(features: Features) -> Matrix {
    features.split_tape().0
}
