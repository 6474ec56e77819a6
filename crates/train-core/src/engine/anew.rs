//! Keys of an earlier step, made again by the momentum encoder of now.

use tensor_ops::{FeatureMap, Matrix};

use super::forward::{Shuffle, Starts, Views};
use super::{Engine, EngineError};
use pipeline::{Id as _, Input, KeyId, LossId, PartsMethod, Pass, Table};
use plugin_api::{Entry, EntryMut, PastKeys};

/// The keys that a loss has kept of earlier steps.
pub struct KeptKeys {
    loss: LossId,
    rows: Vec<f32>,
    /// Keys that arrive in one step.
    per_step: usize,
    width: usize,
}

impl KeptKeys {
    /// Steps of which all keys are there.
    pub fn n_steps(&self) -> usize {
        self.rows.len() / (self.per_step * self.width)
    }

    /// `C`.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The keys of the step `steps_ago` before the last one, `(M, C)` row by row; none if they are not all there.
    pub fn of_step(&self, steps_ago: usize) -> Option<&[f32]> {
        let n_values = self.per_step * self.width;
        let end = self.rows.len().checked_sub(steps_ago.checked_mul(n_values)?)?;
        self.rows.get(end.checked_sub(n_values)?..end)
    }
}

impl Engine {
    /// The keys that the first loss which keeps any has of earlier steps, of `n` images each.
    pub fn kept_keys(&self, n: usize) -> Option<KeptKeys> {
        self.modules.losses.iter_with_ids().find_map(|(loss, named)| {
            let PastKeys { width, rows } = named.module.past_keys()?;
            let per_step = n * self.graph.kept_key_steps(loss).len();
            (per_step > 0 && width > 0).then_some(KeptKeys { loss, rows, per_step, width })
        })
    }

    /// What of a batch makes its keys: what [`keys_anew`](Self::keys_anew) is given part by part.
    pub fn key_pass(&self) -> Pass {
        let of_keys = self.graph.keys.iter().filter_map(|step| match step.encode.input {
            Input::View { view, .. } => Some(view.index()),
            Input::Step(_) => None,
        });
        let mut views: Vec<usize> = of_keys.collect();
        views.sort_unstable();
        views.dedup();
        Pass { views, is_shuffled: self.parts.passes[0].is_shuffled }
    }

    /// The keys that the momentum encoder of now makes of the batch of `n` images of the step `steps_ago` before the last one:
    /// those that `kept` would have of it, `(M, C)` row by row, before they are normalized.
    ///
    /// `next` is called once for each part of this process, and gives the views of [`key_pass`](Self::key_pass) as they were in
    /// that step. All draws are those of that step, statistics are those of the batch, and nothing of the engine changes.
    ///
    /// # Errors
    /// Those of `next`; and if a module refuses what it is given.
    pub fn keys_anew<E: From<EngineError>>(
        &mut self,
        kept: &KeptKeys,
        steps_ago: usize,
        n: usize,
        next: &mut dyn FnMut() -> Result<Vec<FeatureMap>, E>,
    ) -> Result<Vec<f32>, E> {
        let now = self.n_steps;
        let statistics = Statistics::of(self);
        self.n_steps = now.saturating_sub(1 + steps_ago as u64);
        let keys = self.keys_of_batch(n, next);
        self.n_steps = now;
        statistics.restore(self)?;
        let keys = keys?;
        let steps = self.graph.kept_key_steps(kept.loss);
        Ok(steps.into_iter().flat_map(|step| tensor_ops::to_rows(&keys[step])).collect())
    }

    /// The keys of a whole batch, however it goes through.
    fn keys_of_batch<E: From<EngineError>>(
        &mut self,
        n: usize,
        next: &mut dyn FnMut() -> Result<Vec<FeatureMap>, E>,
    ) -> Result<Table<KeyId, Matrix>, E> {
        let graph = self.graph.clone();
        let pass = self.key_pass();
        let mut of_parts: Table<KeyId, Vec<Matrix>> = graph.keys.iter().map(|_| Vec::new()).collect();
        for part in self.own_parts() {
            let places = self.places(0, part, n);
            let views = Views::new(&graph, &pass.views, next()?, places);
            match self.parts.method {
                PartsMethod::Whole => {
                    return Ok(self.keys(&graph, Starts::views(&views), Shuffle::AsDeclared)?);
                }
                PartsMethod::Accumulate => {
                    let keys = self.keys(&graph, Starts::views(&views), Shuffle::Done)?;
                    for (of_parts, rows) in of_parts.iter_mut().zip(&keys) {
                        of_parts.push(rows.clone());
                    }
                }
                PartsMethod::CacheFeatures => self.add_key_features(&graph, &views, &mut of_parts)?,
            }
        }
        if self.parts.method == PartsMethod::Accumulate {
            let whole = |of_parts: &Vec<Matrix>| self.whole(0, n, of_parts);
            return Ok(of_parts.iter().map(whole).collect::<Result<_, _>>()?);
        }
        let features = self.wholes(&of_parts, n)?;
        let none = Views::default();
        Ok(self.keys(&graph, Starts { views: &none, features }, Shuffle::Done)?)
    }
}

/// Running statistics and counters of the momentum copies.
struct Statistics(Vec<Statistic>);

enum Statistic {
    Buffer(Vec<f32>),
    Counter(u64),
}

impl Statistics {
    fn of(engine: &Engine) -> Self {
        let mut list = Vec::new();
        for (_, module) in engine.momentum_modules.named() {
            module.visit(&mut |_, entry| match entry {
                Entry::Buffer(buffer) => list.push(Statistic::Buffer(buffer.to_vec())),
                Entry::Counter(count) => list.push(Statistic::Counter(count)),
                Entry::Parameter(_) => {}
            });
        }
        Self(list)
    }

    fn restore(self, engine: &mut Engine) -> Result<(), EngineError> {
        let mut list = self.0.into_iter();
        let mut result = Ok(());
        for (_, module) in engine.momentum_modules.named_mut() {
            module.visit_mut(&mut |_, entry| {
                // A module visits the same entries in the same order each time.
                let kept = if matches!(entry, EntryMut::Parameter(_)) { None } else { list.next() };
                match (entry, kept) {
                    (EntryMut::Buffer(buffer), Some(Statistic::Buffer(values))) => {
                        if let Err(error) = buffer.set(&values) {
                            result = Err(error);
                        }
                    }
                    (EntryMut::Counter(count), Some(Statistic::Counter(value))) => *count = value,
                    _ => {}
                }
            });
        }
        Ok(result?)
    }
}
