//! Whether a run may go on with the images that are there now.

use std::path::PathBuf;

use pipeline::Pipeline;
use plugin_api::Splits;
use run_store::RunFolder;
use run_store::checkpoint::{self, CheckpointFolder, Snapshot};

use super::TrainError;
use super::images::{ChangedImages, ImageSets};
use super::position::Position;

/// Checks that the images of `splits`, of `pipeline`, are those that `snapshot` has seen, a checkpoint in `run`. If not, they
/// may be `accepted` between two epochs, and are returned to be told.
///
/// # Errors
/// [`TrainError::ChangedImages`].
pub fn check_images(
    pipeline: &Pipeline,
    splits: &Splits,
    snapshot: &Snapshot,
    run: &RunFolder,
    accepted: bool,
) -> Result<Option<ChangedImages>, TrainError> {
    let folder = CheckpointFolder::new(run.checkpoints(), 1);
    check_sets(&ImageSets::of(splits, &pipeline.moved), snapshot, &folder, accepted)
}

/// [`check_images`] of known sets, with the folder of the checkpoints.
pub(super) fn check_sets(
    images: &ImageSets,
    snapshot: &Snapshot,
    folder: &CheckpointFolder,
    accepted: bool,
) -> Result<Option<ChangedImages>, TrainError> {
    let Some(images) = images.change_since(&snapshot.metadata) else { return Ok(None) };
    let position = Position::load(&snapshot.metadata)?;
    let within_epoch = (position.step > 0).then_some(position.epoch + 1);
    match (accepted, within_epoch) {
        (true, None) => Ok(Some(images)),
        _ => Err(TrainError::ChangedImages {
            images,
            accepted,
            within_epoch,
            checkpoint: latest_between_epochs(folder, position.steps_done),
        }),
    }
}

/// The newest checkpoint in `folder` up to `step` that was written between two epochs.
pub fn latest_between_epochs(folder: &CheckpointFolder, step: u64) -> Option<PathBuf> {
    let is_between = |path: &PathBuf| {
        let position = checkpoint::read(path).ok().map(|snapshot| Position::load(&snapshot.metadata));
        position.is_some_and(|position| position.is_ok_and(|position| position.step == 0))
    };
    let known = folder.list().ok()?.into_iter().rev().filter(|(at, _)| *at <= step);
    known.map(|(_, path)| path).find(is_between)
}
