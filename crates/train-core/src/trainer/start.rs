//! Checkpoints that a run starts from, without having been trained to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::Pipeline;
use processes::Alone;
use run_store::checkpoint::Snapshot;
use tensor_ops::Device;

use super::TrainError;
use super::images::carry_images;
use super::position::Position;
use super::saving::{finish, restore};
use super::spikes::SpikeDetector;
use crate::engine::Engine;

/// How far a checkpoint has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Whole epochs done.
    pub epochs: usize,
    /// Steps done after these.
    pub steps: usize,
    /// Steps done in the whole run.
    pub steps_done: u64,
}

/// `epoch 3`, or `epoch 3 and 2 steps`.
impl std::fmt::Display for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "epoch {}", self.epochs)?;
        match self.steps {
            0 => Ok(()),
            1 => f.write_str(" and 1 step"),
            n => write!(f, " and {n} steps"),
        }
    }
}

impl Reached {
    /// How far `snapshot` has come.
    ///
    /// # Errors
    /// If its metadata do not tell.
    pub fn of(snapshot: &Snapshot) -> Result<Self, TrainError> {
        Self::of_metadata(&snapshot.metadata)
    }

    /// How far the checkpoint with these `metadata` has come.
    ///
    /// # Errors
    /// If they do not tell.
    pub fn of_metadata(metadata: &BTreeMap<String, String>) -> Result<Self, TrainError> {
        let Position { epoch, step, steps_done, .. } = Position::load(metadata)?;
        Ok(Self { epochs: epoch, steps: step, steps_done })
    }
}

/// The checkpoint of `pipeline` at step 0, with `change` applied to its tensors: a run with it starts from given weights, and
/// resumes like any other.
///
/// # Errors
/// If the changed tensors do not match the pipeline.
pub fn started_with(
    pipeline: Pipeline,
    device: &Device,
    change: impl FnOnce(&mut Snapshot),
) -> Result<Snapshot, TrainError> {
    let mut spikes = SpikeDetector::new(pipeline.stability, pipeline.network.parameters.clone());
    let mut engine = Engine::new(pipeline.network, pipeline.seed, device.clone(), Arc::new(Alone))?;
    let mut snapshot = Snapshot::default();
    engine.save(&mut snapshot)?;
    change(&mut snapshot);
    finish(&mut snapshot, &Position::default(), &spikes, &pipeline.text);
    restore(&snapshot, &mut engine, &mut spikes)?;
    Ok(snapshot)
}

/// The checkpoint `of` another run as one of `pipeline`, which has the same network: a run with it goes on where the other was,
/// with all of its state, for as many epochs and with such hyperparameters as `pipeline` has.
///
/// # Errors
/// If the networks differ.
pub fn continued(pipeline: Pipeline, device: &Device, of: &Snapshot) -> Result<Snapshot, TrainError> {
    let mut spikes = SpikeDetector::new(pipeline.stability, pipeline.network.parameters.clone());
    let mut engine = Engine::new(pipeline.network, pipeline.seed, device.clone(), Arc::new(Alone))?;
    // It is to go on, so that its patience starts anew.
    let reached = restore(of, &mut engine, &mut spikes)?;
    let drawn_since = match of.metadata.get("pipeline") {
        Some(text) if but_for_epochs(text).eq(but_for_epochs(&pipeline.text)) => reached.drawn_since,
        _ => reached.steps_done,
    };
    let position = Position { best: None, drawn_since, ..reached };
    let mut snapshot = Snapshot::default();
    engine.save(&mut snapshot)?;
    finish(&mut snapshot, &position, &spikes, &pipeline.text);
    carry_images(&of.metadata, &mut snapshot.metadata);
    Ok(snapshot)
}

/// The lines of a resolved pipeline but for the number of epochs, which draws nothing.
fn but_for_epochs(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("epochs:"))
}
