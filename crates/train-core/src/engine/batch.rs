//! What a step is given: views of images, and which images they are.

use plugin_api::{ObjectiveStep, Progress};
use processes::Processes;
use tensor_ops::FeatureMap;

use super::{Engine, EngineError};

/// The views of a batch or of a part of it.
#[derive(Default)]
pub struct Images {
    /// One for each view of the graph, or of the pass where a batch goes through in parts.
    pub views: Vec<FeatureMap>,
    /// For each image, its place in the training split. Empty where nobody asks for it.
    pub indices: Vec<usize>,
    /// For each image, its class. Empty if there are no classes, or nobody asks for them.
    pub labels: Vec<u32>,
}

/// Views of images that nobody knows more of.
impl From<Vec<FeatureMap>> for Images {
    fn from(views: Vec<FeatureMap>) -> Self {
        Self { views, ..Self::default() }
    }
}

/// What objectives are told of a step.
pub(super) struct Now {
    at: Progress,
    indices: Vec<usize>,
    labels: Vec<u32>,
}

impl Default for Now {
    fn default() -> Self {
        let at = Progress { epoch: 0, step: 0, steps_per_epoch: 1, epochs: 1 };
        Self { at, indices: Vec::new(), labels: Vec::new() }
    }
}

impl Now {
    pub(super) fn of_objective(&self, seed: u64) -> ObjectiveStep<'_> {
        let labels = (!self.labels.is_empty()).then_some(&*self.labels);
        ObjectiveStep { seed, at: self.at, indices: &self.indices, labels }
    }

    /// Where in training it is.
    pub(super) fn at(&self) -> Progress {
        self.at
    }

    pub(super) fn set_images(&mut self, indices: Vec<usize>, labels: Vec<u32>) {
        (self.indices, self.labels) = (indices, labels);
    }
}

impl Engine {
    /// Says where in training the next step is, for objectives whose settings change along it, for numbers that have a ramp, and for
    /// parameters that are frozen at first. Without it, it is the first.
    ///
    /// # Errors
    /// If a plugin refuses the value that the ramp of one of its numbers has.
    pub fn set_progress(&mut self, at: Progress) -> Result<(), EngineError> {
        self.now.at = at;
        for ramp in &self.ramps {
            ramp.set(at, &mut *self.optimizer, &mut self.modules.losses)
                .map_err(|source| EngineError::Ramp { what: ramp.what.clone(), source })?;
        }
        Ok(())
    }

    /// The numbers that change while training, as `--set` has them, and what they are in the step of
    /// [`set_progress`](Self::set_progress).
    pub fn ramped_numbers(&self) -> Vec<(&str, f64)> {
        self.ramps.iter().map(|ramp| (ramp.what.as_str(), ramp.at(self.now.at))).collect()
    }

    /// Tells objectives which images a batch of `n` has, from those of each part of this process in the first pass.
    pub(super) fn set_images_of_parts(
        &mut self,
        n: usize,
        own: &[(Vec<usize>, Vec<u32>)],
    ) -> Result<(), EngineError> {
        let indices = own.iter().flat_map(|(indices, _)| indices.iter().map(|&index| index as u64));
        let indices: Vec<u64> = gathered(&*self.processes, indices, u64::to_le_bytes, u64::from_le_bytes)?;
        let labels = own.iter().flat_map(|(_, labels)| labels.iter().copied());
        let labels: Vec<u32> = gathered(&*self.processes, labels, u32::to_le_bytes, u32::from_le_bytes)?;
        let places: Vec<usize> = (0..self.parts.n_parts).flat_map(|part| self.places(0, part, n)).collect();
        let indices = in_order(&places, &indices).into_iter().map(|index| index as usize).collect();
        self.now.set_images(indices, in_order(&places, &labels));
        Ok(())
    }
}

/// Numbers of all processes, rank after rank.
fn gathered<T, const N: usize>(
    processes: &dyn Processes,
    own: impl Iterator<Item = T>,
    to_bytes: impl Fn(T) -> [u8; N],
    of_bytes: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, EngineError> {
    let own: Vec<u8> = own.flat_map(to_bytes).collect();
    let all = processes.gather_bytes(&own)?;
    Ok(all.iter().flat_map(|of_rank| of_rank.as_chunks().0).map(|bytes| of_bytes(*bytes)).collect())
}

/// Value `i` at place `places[i]`; nothing if there is not one for each place.
fn in_order<T: Copy>(places: &[usize], values: &[T]) -> Vec<T> {
    if places.len() != values.len() {
        return Vec::new();
    }
    let mut placed: Vec<(usize, T)> = places.iter().copied().zip(values.iter().copied()).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, value)| value).collect()
}
