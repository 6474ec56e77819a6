//! One run of a sweep.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;

use pipeline::{Pipeline, PipelineError};
use run_store::checkpoint::CheckpointFolder;
use run_store::{RunFolder, RunFolderError};
use tensor_ops::Device;
use train_core::trainer::{self, Finished, Observer, TrainError, TrainOptions};

use crate::SweepError;
use crate::axes::overrides;
use crate::folder::SweepFolder;
use crate::state::{RunState, SweepState};

/// The overrides of the pipeline for the run `place`; the seed is last.
pub(crate) fn changes(sweep: &SweepState, place: usize) -> Vec<String> {
    let run = &sweep.runs[place];
    let mut changes = overrides(&sweep.axes, &run.combination);
    changes.push(format!("seed={}", run.seed));
    changes
}

/// Trains one run, from the start or from where it was interrupted.
///
/// Runs share one process: stopping is then a flag, an error is a value with its reason, and the observer can use the
/// terminal, on every system. If the process is killed, for instance for lack of memory, the sweep ends with it and can
/// be resumed. A panic does not end the sweep, so the other runs of a night are not lost.
#[expect(clippy::too_many_arguments, reason = "what a sweep has, and what of it is this run's")]
pub(crate) fn train(
    sweep: &SweepState,
    place: usize,
    folder: &SweepFolder,
    pipeline: &str,
    device: &Device,
    options: &TrainOptions,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Finished, SweepError> {
    let changes = [&sweep.set[..], &changes(sweep, place)].concat();
    let origin = folder.path().join("base.ron").display().to_string();
    let path = folder.path().join(&sweep.runs[place].folder);
    let train = || -> Result<Finished, SweepError> {
        let pipeline =
            Pipeline::parse_kept(&origin, pipeline, &changes, device).map_err(PipelineError::from)?;
        let run = match RunFolder::open(&path) {
            Ok(run) => run,
            Err(RunFolderError::NotARun { .. }) => {
                let run = RunFolder::create(folder.path(), "", Some(path.clone()))?;
                run.write_pipeline(&pipeline.text)?;
                run
            }
            Err(error) => return Err(error.into()),
        };
        let _lock = run.lock()?;
        run.tidy()?;
        let checkpoint = CheckpointFolder::new(run.checkpoints(), pipeline.checkpoint.keep).latest()?;
        let snapshot = checkpoint.as_ref().map(|(_, snapshot)| snapshot);
        Ok(trainer::train(pipeline, device, &run, snapshot, options, observer, stop)?)
    };
    catch_unwind(AssertUnwindSafe(train)).unwrap_or(Err(SweepError::Panicked))
}

/// What to record for a run that ended with `error`.
pub(crate) fn lost(error: &SweepError) -> RunState {
    let reason = error.to_string().lines().collect::<Vec<_>>().join(" ");
    match error {
        SweepError::Train(TrainError::NotFinite { .. }) => RunState::Diverged(reason),
        _ => RunState::Failed(reason),
    }
}
