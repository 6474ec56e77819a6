//! What the processes that train one network gather in a step.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use dfdx::shapes::HasShape as _;
use plugin_api::Entry;
use tensor_ops::{Gradients, Matrix, Recording, concat_rows, features_from_rows, select_rows, to_rows};

use super::forward::unrecorded;
use super::{Engine, EngineError, Loss};

impl Engine {
    /// The rows of a whole batch of `n`, in its order, from those of each part of this process in a pass.
    pub(super) fn whole(&self, pass: usize, n: usize, own: &[Matrix]) -> Result<Matrix, EngineError> {
        let mut rows = concat_rows(&own.iter().collect::<Vec<_>>())?;
        if self.processes.n() > 1 {
            let (_, d) = *rows.shape();
            let all = self.processes.gather(&to_rows(&rows))?;
            rows = unrecorded(features_from_rows(&self.device, (all.len() / d, d), all, Recording::Off)?);
        }
        let places = (0..self.parts.n_parts).flat_map(|part| self.places(pass, part, n));
        let mut order = vec![0; n];
        for (row, place) in places.enumerate() {
            order[place] = row;
        }
        Ok(select_rows(&rows, &order)?)
    }

    /// The losses of a batch: the means of those of all parts, from those of each part of this process.
    pub(super) fn whole_losses(&self, own: &[Vec<Loss>]) -> Result<Vec<Loss>, EngineError> {
        let Some(first) = own.first() else { return Ok(Vec::new()) };
        let numbers: Vec<f32> =
            own.iter().flatten().flat_map(|loss| [loss.value, loss.top1.unwrap_or(0.0)]).collect();
        let all = self.processes.gather(&numbers)?;
        let share = 1.0 / self.parts.n_parts as f32;
        let mut losses: Vec<Loss> = first
            .iter()
            .map(|loss| Loss { value: 0.0, top1: loss.top1.map(|_| 0.0), ..loss.clone() })
            .collect();
        for part in all.chunks(2 * losses.len()) {
            for (loss, numbers) in losses.iter_mut().zip(part.as_chunks().0) {
                let [value, top1] = *numbers;
                loss.value += value * share;
                if let Some(sum) = &mut loss.top1 {
                    *sum += top1 * share;
                }
            }
        }
        Ok(losses)
    }

    /// A hash of all parameters, statistics and queues, to compare processes by.
    pub fn hash_of_values(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut hash = |values: &[f32]| values.iter().for_each(|value| value.to_bits().hash(&mut hasher));
        for (_, module) in self.modules.named().into_iter().chain(self.momentum_modules.named()) {
            module.visit(&mut |_, entry| match entry {
                Entry::Parameter(parameter) => parameter.with_values(&mut hash),
                Entry::Buffer(buffer) => buffer.with_values(&mut hash),
                Entry::Counter(_) => {}
            });
        }
        hasher.finish()
    }

    /// Adds the gradients of a part to `total`, parameter after parameter.
    pub(super) fn add_gradients(
        &self,
        total: &mut Gradients,
        part: &mut Gradients,
    ) -> Result<(), EngineError> {
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
