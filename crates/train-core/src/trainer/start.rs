//! A run that starts from given weights.

use std::path::PathBuf;
use std::sync::Arc;

use pipeline::Pipeline;
use processes::Alone;
use run_store::RunFolder;
use run_store::checkpoint::{CheckpointFolder, Snapshot};
use tensor_ops::Device;

use super::TrainError;
use super::position::Position;
use super::saving::{finish, restore};
use super::spikes::SpikeDetector;
use crate::engine::Engine;

/// Writes the checkpoint of `pipeline` at step 0 into `run`, with `change` applied to its tensors. The result is a run
/// that starts from given weights and resumes like any other. Returns its path.
///
/// # Errors
/// If the changed tensors do not match the pipeline, or the checkpoint cannot be written.
pub fn write_start(
    pipeline: Pipeline,
    device: &Device,
    run: &RunFolder,
    change: impl FnOnce(&mut Snapshot),
) -> Result<PathBuf, TrainError> {
    let mut spikes = SpikeDetector::new(pipeline.stability, pipeline.network.parameters.clone());
    let mut engine = Engine::new(pipeline.network, pipeline.seed, device.clone(), Arc::new(Alone))?;
    let mut snapshot = Snapshot::default();
    engine.save(&mut snapshot)?;
    change(&mut snapshot);
    finish(&mut snapshot, &Position::default(), &spikes, &pipeline.text);
    restore(&snapshot, &mut engine, &mut spikes)?;
    Ok(CheckpointFolder::new(run.checkpoints(), pipeline.checkpoint.keep).save(0, &snapshot)?)
}
