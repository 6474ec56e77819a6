//! One run of a sweep.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;

use pipeline::{Pipeline, PipelineError};
use run_store::RunFolder;
use run_store::checkpoint::CheckpointFolder;
use tensor_ops::Device;
use train_core::trainer::{self, Finished, TrainError, TrainOptions};

use super::axes::overrides;
use super::folder::{State, Sweep, SweepFolder};
use crate::failure::Failure;
use crate::progress::Progress;

/// Trains one run, from its start or from where it was interrupted.
///
/// In this process, not in one of its own: a stop is then a flag, an error a value with its reason, and the progress line
/// has the terminal, on every system alike. What ends the whole process, such as want of memory, ends the sweep with it;
/// `--resume` goes on. A panic does not: one night's other runs are worth more than a clean end.
pub(super) fn train(
    sweep: &Sweep,
    place: usize,
    folder: &SweepFolder,
    pipeline: &str,
    device: &Device,
    n_workers: usize,
    stop: &AtomicBool,
) -> anyhow::Result<Finished> {
    let run = &sweep.runs[place];
    let changes = overrides(&sweep.axes, &run.combination);
    let changes = [&sweep.set[..], &changes, &[format!("seed={}", run.seed)]].concat();
    let origin = folder.path().join("base.ron").display().to_string();
    let path = folder.path().join(&run.folder);
    let train = || -> anyhow::Result<Finished> {
        let pipeline =
            Pipeline::parse_kept(&origin, pipeline, &changes, device).map_err(PipelineError::from)?;
        let run = match RunFolder::open(&path) {
            Ok(run) => run,
            Err(_) => {
                let run = RunFolder::create(folder.path(), "", Some(path.clone()))?;
                run.write_pipeline(&pipeline.text)?;
                run
            }
        };
        let _lock = run.lock()?;
        let checkpoint = CheckpointFolder::new(run.checkpoints(), pipeline.checkpoint.keep).latest()?;
        let snapshot = checkpoint.as_ref().map(|(_, snapshot)| snapshot);
        let options = TrainOptions { n_workers };
        Ok(trainer::train(pipeline, device, &run, snapshot, &options, &mut Progress::default(), stop)?)
    };
    catch_unwind(AssertUnwindSafe(train)).unwrap_or_else(|_| {
        Err(Failure::new("the program panicked, which is a fault in it", "the message above says where")
            .into())
    })
}

/// What to keep of a run that ended with `error`.
pub(super) fn lost(error: &anyhow::Error) -> State {
    let reason = error.to_string().lines().collect::<Vec<_>>().join(" ");
    match error.downcast_ref::<TrainError>() {
        Some(TrainError::NotFinite { .. }) => State::Diverged(reason),
        _ => State::Failed(reason),
    }
}
