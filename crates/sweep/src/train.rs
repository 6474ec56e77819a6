//! Trains the runs of a sweep, one after the other.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use processes::Alone;
use run_store::RunLock;
use tensor_ops::Device;
use train_core::trainer::{Finished, TrainOptions};

use crate::axes::Axis;
use crate::folder::SweepFolder;
use crate::observer::{RunOutcome, RunStart, SweepObserver};
use crate::pace::Pace;
use crate::plan::Plan;
use crate::state::{RunState, SweepState};
use crate::table::Table;
use crate::{SweepError, Variations, run};

/// A sweep and its folder, which is locked so that nobody else trains in it.
pub struct Sweep {
    folder: SweepFolder,
    state: SweepState,
    /// The text of the pipeline that every run is a variation of.
    pipeline: String,
    _lock: RunLock,
}

/// How a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepEnd {
    /// All runs were trained. The failed ones are retried if the sweep is resumed.
    Finished {
        /// The number of runs that failed.
        n_failed: usize,
    },
    /// It was stopped.
    Stopped {
        /// The index of the run that was training or would have been next, from 0.
        run: usize,
    },
}

impl Sweep {
    /// Creates a sweep in `out`, which must be new or empty, or else in the next number in `root`.
    ///
    /// Every combination is checked before the folder is created.
    ///
    /// # Errors
    /// If a combination cannot be trained, or the folder cannot be created.
    pub fn create(
        variations: &Variations,
        root: &Path,
        out: Option<PathBuf>,
        device: &Device,
    ) -> Result<Self, SweepError> {
        let Plan { state, pipeline } = variations.plan(device)?;
        let folder = SweepFolder::create(&state, &pipeline, root, out)?;
        Self::locked(folder, state, pipeline)
    }

    /// Opens the sweep in the folder `path`.
    ///
    /// # Errors
    /// If it is not a sweep, or another process trains it.
    pub fn open(path: &Path) -> Result<Self, SweepError> {
        let folder = SweepFolder::open(path)?;
        let (state, pipeline) = (folder.load()?, folder.pipeline()?);
        Self::locked(folder, state, pipeline)
    }

    /// Opens the most recently written sweep under `root`.
    ///
    /// # Errors
    /// If there is none, or another process trains it.
    pub fn newest(root: &Path) -> Result<Self, SweepError> {
        Self::open(SweepFolder::newest(root, None)?.path())
    }

    /// Opens the sweep of `variations`: the one in `path`, or else the most recently written sweep of that pipeline
    /// under `root`.
    ///
    /// # Errors
    /// If there is none, or it was started with other variations.
    pub fn of(
        variations: &Variations,
        root: &Path,
        path: Option<&Path>,
        device: &Device,
    ) -> Result<Self, SweepError> {
        let wanted = variations.plan(device)?;
        let sweep = match path {
            Some(path) => Self::open(path)?,
            None => Self::open(SweepFolder::newest(root, Some(&wanted.state.name))?.path())?,
        };
        if wanted.state.is_as(&sweep.state) && wanted.pipeline == sweep.pipeline {
            return Ok(sweep);
        }
        Err(SweepError::Other { path: sweep.path().into() })
    }

    fn locked(folder: SweepFolder, state: SweepState, pipeline: String) -> Result<Self, SweepError> {
        let lock = folder.lock()?;
        Ok(Self { folder, state, pipeline, _lock: lock })
    }

    /// The sweep folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The name of its pipeline.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The axes of the sweep.
    pub fn axes(&self) -> &[Axis] {
        &self.state.axes
    }

    /// The number of seeds per combination.
    pub fn n_seeds(&self) -> usize {
        self.state.n_seeds
    }

    /// The progress of each run, in the order in which they are trained.
    pub fn runs(&self) -> impl Iterator<Item = &RunState> {
        self.state.runs.iter().map(|run| &run.state)
    }

    /// The table as Markdown: one row per combination, with mean, sample standard deviation and range.
    pub fn table(&self) -> String {
        Table::of(&self.state, self.path()).to_markdown()
    }

    /// The table for programs, see [`table`](Self::table): an object with `paths`, `seeds`, `rows` and `lost`. Shares are of 1.
    pub fn table_json(&self) -> serde_json::Value {
        Table::of(&self.state, self.path()).to_json()
    }

    /// Trains all runs that are not done, one after the other, until all are or `stop` is set. After each run,
    /// `table.md` and `table.csv` are written.
    ///
    /// If a run diverges or fails, the reason is recorded and the sweep continues.
    ///
    /// # Errors
    /// If the sweep's own files cannot be written.
    pub fn train(
        &mut self,
        device: &Device,
        workers: NonZeroUsize,
        observer: &mut dyn SweepObserver,
        stop: &AtomicBool,
    ) -> Result<SweepEnd, SweepError> {
        let options = TrainOptions {
            n_workers: workers.get(),
            processes: Arc::new(Alone),
            accept_changed_images: false,
        };
        let mut pace = Pace::default();
        for place in 0..self.state.runs.len() {
            if self.state.runs[place].state.is_settled() {
                continue;
            }
            if stop.load(Ordering::Relaxed) {
                return self.stopped(place);
            }
            observer.run_started(&RunStart {
                run: place,
                n_runs: self.state.runs.len(),
                overrides: &run::changes(&self.state, place),
                rest_seconds: pace.rest(&self.state, place),
            });
            let start = Instant::now();
            let mut of_run = observer.of_run();
            let outcome = run::train(
                &self.state,
                place,
                &self.folder,
                &self.pipeline,
                device,
                &options,
                of_run.as_mut(),
                stop,
            );
            drop(of_run);
            let seconds = start.elapsed().as_secs_f64();
            let is_whole = self.state.runs[place].seconds == 0.0;
            self.state.runs[place].seconds += seconds;
            match outcome {
                Ok(Finished::Completed(summary)) => {
                    if is_whole {
                        pace.add(self.state.runs[place].n_images, seconds);
                    }
                    self.state.learn(summary.before.iter().chain(&summary.after));
                    self.state.runs[place].state = RunState::Completed;
                    self.save()?;
                    observer.run_ended(&RunOutcome::Completed { summary: &summary, seconds });
                }
                Ok(Finished::Stopped { .. }) => return self.stopped(place),
                Err(error) => {
                    self.state.runs[place].state = run::lost(&error);
                    self.save()?;
                    observer.run_ended(&match (&self.state.runs[place].state, &error) {
                        (RunState::Diverged(_), SweepError::Train(error)) => RunOutcome::Diverged(error),
                        _ => RunOutcome::Failed(&error),
                    });
                }
            }
        }
        self.save()?;
        let n_failed = self.runs().filter(|state| matches!(state, RunState::Failed(_))).count();
        Ok(SweepEnd::Finished { n_failed })
    }

    fn stopped(&self, run: usize) -> Result<SweepEnd, SweepError> {
        self.save()?;
        Ok(SweepEnd::Stopped { run })
    }

    fn save(&self) -> Result<(), SweepError> {
        self.folder.save(&self.state)?;
        let table = Table::of(&self.state, self.path());
        self.folder.write("table.md", &table.to_markdown())?;
        self.folder.write("table.csv", &table.to_csv())
    }
}
