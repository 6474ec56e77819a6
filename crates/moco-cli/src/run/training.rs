//! Training a run from the command line: what is told before, while and after it trains.

use std::io::Write;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moco::{Finished, Run};
use run_store::{HeldFolder, Logged, RunLog};

use super::describe::{dealt_parts, describe};
use super::end::End;
use super::unwrapped;
use crate::failure::{self, Failure, GO_ON, STOPPED};
use crate::program::program;
use crate::progress::Progress;
use crate::together::Together;
use crate::{bug, interrupt, moved, notes, shell, text};

pub(super) static STOP: AtomicBool = AtomicBool::new(false);

/// Whether [`STOP`] is set because the time is up.
static TIME_IS_UP: AtomicBool = AtomicBool::new(false);

/// How a run is trained by the only process, or the first of several.
pub(crate) struct Training<'a> {
    /// All processes.
    pub(crate) together: &'a Together,
    /// Data loader workers of this process.
    pub(crate) workers: NonZeroUsize,
    /// Whether the run has a checkpoint to go on from.
    pub(crate) goes_on: bool,
    /// When to stop with a checkpoint, from now.
    pub(crate) stop_after: Option<Duration>,
}

impl Training<'_> {
    /// Trains `run` to its end, until a signal or until the time is up. `out` should be a [`WhileRead`](super::WhileRead).
    pub(crate) fn train(&self, mut run: Run, out: &mut dyn Write) -> Result<ExitCode, Failure> {
        run.set_workers(self.workers);
        run.lock().map_err(unwrapped)?;
        bug::trains(run.folder().path());
        // One that goes on has changed nothing before its first new step is done.
        let log = match self.goes_on && run.folder().log().is_file() {
            true => RunLog::held(run.folder())?,
            false => RunLog::open(run.folder())?,
        };
        let outcome = self.train_logged(run, &mut Logged::new(out, log.clone()), &log);
        if let Err(failure) = &outcome {
            log.line(&failure::plain(failure));
        }
        outcome
    }

    fn train_logged(&self, mut run: Run, out: &mut dyn Write, log: &RunLog) -> Result<ExitCode, Failure> {
        let Self { together, workers, goes_on, stop_after } = *self;
        let pipeline = run.pipeline().map_err(unwrapped)?;
        let splits = moco::open_dataset(pipeline).map_err(|error| match error {
            moco::Error::Dataset(error) if goes_on => moved::with_way_out(&error),
            error => unwrapped(error),
        })?;
        describe(out, pipeline, &splits, workers.get())?;
        // A single class tells nothing apart.
        let (has_labels, has_test) = (splits.train.class_names().len() > 1, splits.test.is_some());
        // Whoever resumes a run was told the rest when it began.
        let notes = if goes_on { notes::of(&splits) } else { notes::before_training(pipeline, &splits) };
        notes::print(&notes);
        notes.iter().for_each(|note| log.line(&format!("note: {note}")));
        if let Some(line) = together.describe() {
            writeln!(out, "processes {line}")?;
            let n_processes = together.processes.n();
            let network = &pipeline.network;
            let mut backbones = network.modules.encoders.backbones.iter();
            // Parts cannot have these by themselves.
            let has_whole_norms = backbones.any(|backbone| backbone.module.batch_norm_splits() == Some(1));
            let is_exact = (network.parts.n_parts / n_processes).is_power_of_two() && !has_whole_norms;
            let parts = dealt_parts(network.parts.n_parts, pipeline.batch, n_processes, is_exact);
            writeln!(out, "parts     {parts}")?;
        }
        let epochs = pipeline.epochs;
        let folder = run.folder().clone();
        write!(out, "run       {}", folder.path().display())?;
        let from = match goes_on {
            true => Some(run.checkpoint().map_err(unwrapped)?.to_owned()),
            false => None,
        };
        if let Some(from) = &from {
            write!(out, ", from {}", from.display())?;
        }
        writeln!(out)?;
        out.flush()?;

        stop_on_signal(&STOP)?;
        if let Some(time) = stop_after {
            interrupt::stop_after(time, &STOP, &TIME_IS_UP)?;
        }
        let started_as = if folder.read_origin().is_some() { "before training" } else { "untrained" };
        let progress = &mut Progress::new(started_as).logged(log.clone());
        let held = HeldFolder::new(folder.path());
        let finished = match goes_on {
            true => run.resume_until(progress, &STOP),
            false => run.train_until(progress, &STOP),
        };
        match finished.map_err(unwrapped)? {
            Finished::Completed(summary) => {
                // All is saved; what follows is made of it.
                interrupt::nothing_to_lose(true);
                let end = End {
                    run: &folder,
                    held: &held,
                    summary: &summary,
                    started_as,
                    has_labels,
                    has_test,
                    epochs,
                    workers,
                };
                end.tell(out)?;
                if let Some(verdict) = &summary.verdict {
                    out.flush()?;
                    let note = format!("{verdict}; {}", verdict.hint());
                    log.line(&format!("note: {note}"));
                    notes::print(&[note]);
                }
                Ok(ExitCode::SUCCESS)
            }
            Finished::Stopped { checkpoint, steps_done } => {
                if TIME_IS_UP.load(Ordering::Relaxed) {
                    log.line("the time is up");
                }
                writeln!(
                    out,
                    "stopped after step {}, checkpoint {}\nresume with: {program} run --resume {}",
                    text::grouped(steps_done as usize),
                    checkpoint.display(),
                    // An earlier one that was asked for is not the newest before a step from there is done.
                    shell::path(if from.as_ref() == Some(&checkpoint) { &checkpoint } else { folder.path() }),
                    program = program()
                )?;
                Ok(ExitCode::from(if TIME_IS_UP.load(Ordering::Relaxed) { GO_ON } else { STOPPED }))
            }
        }
    }
}

/// The first Ctrl-C saves a checkpoint and stops, the second one stops at once.
pub(crate) fn stop_on_signal(stop: &'static AtomicBool) -> Result<(), Failure> {
    interrupt::stop_softly(
        stop,
        Some(
            "stopping after this step and saving a checkpoint; press Ctrl-C again to stop at once, without one",
        ),
    )
}
