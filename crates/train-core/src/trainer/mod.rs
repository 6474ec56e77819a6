//! The training loop: from a checked pipeline to a trained encoder in a run folder.
//!
//! Start at [`train`]. A run can be stopped at any step, and resumes with bit-for-bit the same result: everything that
//! a step depends on is in the checkpoint, and every random draw is keyed by where it is used.

mod changed;
mod course;
mod data;
mod early_stopping;
mod environment;
mod epoch_end;
mod error;
mod feed;
mod files;
mod fit;
mod images;
mod measure;
mod observer;
mod observers;
mod outcome;
mod own_data;
mod past;
mod position;
mod saving;
mod space;
mod spikes;
mod spread;
mod start;
mod step;
mod together;
mod trial;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pipeline::{EarlyStoppingConfig, OnNonfinite, Pipeline};
use plugin_api::{LossRange, Metric, Monitor};
use processes::Processes;
use run_store::RunFolder;
use run_store::checkpoint::Snapshot;
use run_store::metrics::MetricsLog;
use tensor_ops::Device;

pub use self::changed::{check_images, latest_between_epochs};
pub use self::early_stopping::EarlyStop;
pub use self::error::{DeviceMemory, TrainError};
pub use self::fit::Fit;
pub use self::images::ChangedImages;
pub use self::measure::Measure;
pub use self::observer::{
    EpochReport, EpochSummary, Gradients, Note, Observer, ObserverError, PartReport, RolledBack, Silent,
    SpikeConsequence, Started, StepReport,
};
pub use self::outcome::{BestCheckpoint, Finished, Summary};
pub use self::space::ShortOfSpace;
pub use self::start::{Reached, continued, started_with};
pub use self::trial::{MeasuringCost, Trial, TrialImages, TrialOptions, try_steps};
pub use self::verdict::Verdict;

use self::course::Course;
use self::data::Data;
use self::feed::Feed;
use self::images::ImageSets;
use self::observers::Observers;
use self::own_data::OwnData;
use self::past::PastBatches;
use self::position::Position;
use self::saving::{Saving, restore};
use self::spikes::SpikeDetector;
use self::together::Together;
use crate::engine::Engine;
use loader::{Loader, LoaderError, keep_small};

/// Resources that a run uses. They do not change its result.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Data loader workers of this process, at least 1.
    pub n_workers: usize,
    /// The processes that train together, each of which calls [`train`].
    pub processes: Arc<dyn Processes>,
    /// Whether a run may go on with other images than its checkpoint has seen, from the start of an epoch. Its result is then
    /// another.
    pub accept_changed_images: bool,
}

/// Trains `pipeline` in `run`, from the start or from a checkpoint, until its last epoch or until `stop` is set.
///
/// Metrics, events and checkpoints are written to the folder of the run; `observer` gets all events.
///
/// Of several processes, the first one writes, and resumes all from its `resume`; the others are given a folder by
/// [`RunFolder::of_another`]. All stop at the same step if any is stopped.
///
/// # Errors
/// Any error that ends a run. Saved files stay.
pub fn train(
    pipeline: Pipeline,
    device: &Device,
    run: &RunFolder,
    resume: Option<&Snapshot>,
    options: &TrainOptions,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Finished, TrainError> {
    Trainer::start(pipeline, device, run, resume, options, observer)?.run(stop)
}

/// A run in progress.
struct Trainer<'a> {
    run: &'a RunFolder,
    engine: Engine,
    course: Course,
    data: Data,
    monitors: Monitors,
    spikes: SpikeDetector,
    rollbacks: Rollbacks,
    early_stopping: Option<EarlyStoppingConfig>,
    /// The largest norm that all gradients together may have.
    clip_norm: Option<f64>,
    saving: Saving,
    observers: Observers<'a>,
    together: Together,
    position: Position,
    loss_range: Option<LossRange>,
    /// What has changed since the checkpoint that this process resumed from.
    changed_images: Option<ChangedImages>,
    /// The metrics of the untrained encoder, if this process measured them.
    before: Vec<Metric>,
    /// The mean loss of the last epoch, if this process ended it.
    last_loss: Option<f64>,
    started: Instant,
}

/// The inputs of measurements.
struct Monitors {
    list: Vec<(String, Box<dyn Monitor>)>,
    /// Monitors that were reported as off.
    off: Vec<String>,
}

/// What to do if something is not finite.
struct Rollbacks {
    on_nonfinite: OnNonfinite,
    /// The checkpoint of the last rollback, and the number of rollbacks to it.
    last: Option<(u64, usize)>,
}

/// Sums over the part of an epoch that this process trained.
struct EpochClock {
    started: Instant,
    waited: Duration,
    n_steps: usize,
}

impl<'a> Trainer<'a> {
    fn start(
        pipeline: Pipeline,
        device: &Device,
        run: &'a RunFolder,
        resume: Option<&Snapshot>,
        options: &TrainOptions,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let splits = keep_small(pipeline.dataset.open()?);
        let n_images = splits.train.len();
        let steps_per_epoch = n_images / pipeline.batch;
        if steps_per_epoch == 0 {
            return Err(LoaderError::TooFewImages { n_images, batch: pipeline.batch }.into());
        }
        check_labels(&pipeline.network.modules, &*splits.train)?;
        let together = Together::new(Arc::clone(&options.processes));
        let own = OwnData::open(&pipeline.monitors)?;
        together.check_start(&pipeline.text, &splits, &own)?;
        let images = ImageSets::of(&splits, &pipeline.moved);
        let saving =
            Saving::new(run, pipeline.checkpoint, pipeline.text, images, Arc::clone(&options.processes));
        // Before anything is built, and in the first process for all.
        let changed_images = match resume {
            // A run that is complete looks at no image.
            Some(snapshot) if Position::load(&snapshot.metadata)?.epoch < pipeline.epochs => {
                saving.check_images(snapshot, options.accept_changed_images)?
            }
            _ => None,
        };
        if saving.is_writer() && !pipeline.moved.is_empty() {
            run.write_moved(&pipeline.moved.pairs())?;
        }
        let (on_nonfinite, clip_norm) = (pipeline.stability.on_nonfinite, pipeline.stability.clip_norm);
        let mut spikes = SpikeDetector::new(pipeline.stability, pipeline.network.parameters.clone());
        let mut engine =
            Engine::new(pipeline.network, pipeline.seed, device.clone(), Arc::clone(&options.processes))?;
        let resume = saving::share(&*options.processes, resume)?;
        let mut position = match resume.as_deref() {
            Some(snapshot) => restore(snapshot, &mut engine, &mut spikes)?,
            None => Position::default(),
        };
        if together.any(changed_images.is_some())? {
            position.drawn_since = position.steps_done;
        }
        let resume_at = resume.is_some().then_some(position.steps_done);
        let observers = Observers::new((run, saving.pipeline()), resume_at, saving.is_writer(), observer)?;
        if let Some(step) = resume_at {
            saving.set_aside_after(step)?;
        }
        Ok(Self {
            run,
            loss_range: engine.loss_range(pipeline.batch),
            engine,
            course: Course {
                seed: pipeline.seed,
                batch: pipeline.batch,
                epochs: pipeline.epochs,
                steps_per_epoch,
                momentum: pipeline.momentum,
                learning_rate: pipeline.learning_rate,
                schedule: pipeline.schedule,
            },
            data: Data::new(
                (splits, own),
                (pipeline.views, pipeline.trained_size),
                options.n_workers,
                pipeline.max_unreadable,
            ),
            monitors: Monitors { list: pipeline.monitors, off: Vec::new() },
            spikes,
            rollbacks: Rollbacks { on_nonfinite, last: None },
            early_stopping: pipeline.early_stopping,
            clip_norm,
            saving,
            observers,
            together,
            position,
            changed_images,
            before: Vec::new(),
            last_loss: None,
            started: Instant::now(),
        })
    }

    fn run(self, stop: &AtomicBool) -> Result<Finished, TrainError> {
        let (folder, is_writer) = (self.run, self.saving.is_writer());
        if is_writer {
            folder.remove_failure()?;
        }
        let outcome = self.run_to_the_end(stop);
        if let (true, Err(error)) = (is_writer, &outcome) {
            // The error itself is what the caller must get.
            let _ = folder.write_failure(&error.to_string());
        }
        outcome
    }

    fn run_to_the_end(mut self, stop: &AtomicBool) -> Result<Finished, TrainError> {
        let result = self.run_epochs(stop).map_err(|error| error.at(self.position.epoch, self.position.step));
        let no_room = result.as_ref().err().and_then(TrainError::no_room);
        if no_room.is_some() {
            self.observers.notify(|observer| observer.note(&Note::NoRoom))?;
        }
        self.write_unreadable()?;
        let (outcome, caller) = match no_room {
            Some(memory) => self.out_of_memory(memory),
            None => (result, self.observers.caller()),
        };
        caller.ended(outcome.as_ref());
        outcome
    }

    /// The error for a step that ran out of device memory, with what would fit.
    fn out_of_memory(self, memory: DeviceMemory) -> (Result<Finished, TrainError>, &'a mut dyn Observer) {
        let Self { engine, course: Course { batch, .. }, saving, observers, .. } = self;
        let (device, at_once) = (engine.device().clone(), batch / engine.parts().n_parts);
        // Everything that the run had on the device.
        drop(engine);
        let fit = match tensor_ops::give_back_memory() {
            Ok(()) => fit::find_fit(saving.pipeline(), batch, at_once, &device),
            Err(_) => Fit::default(),
        };
        (Err(TrainError::OutOfMemory { batch, at_once, memory, fit }), observers.caller())
    }

    fn run_epochs(&mut self, stop: &AtomicBool) -> Result<Finished, TrainError> {
        let steps_before = self.position.steps_done;
        let started = Started {
            folder: self.run.path(),
            epochs: self.course.epochs,
            steps_per_epoch: self.course.steps_per_epoch,
            batch: self.course.batch,
            steps_done: steps_before,
        };
        if self.saving.is_writer() {
            let (n_workers, n_processes) = (self.data.n_workers, self.together.n());
            environment::add(self.run, self.saving.images(), n_workers, n_processes, steps_before)?;
        }
        self.observers.notify(|observer| observer.started(&started))?;
        if let Some(images) = self.changed_images.take() {
            self.observers.notify(|observer| observer.note(&Note::ChangedImages(images)))?;
        }
        if self.position == Position::default() {
            // Saved first, so that a run can be resumed from the start.
            self.save()?;
        }
        let epochs_left = self.position.epoch..self.course.epochs;
        if let Some(short) = self.saving.check_space(epochs_left)? {
            self.observers.notify(|observer| observer.note(&Note::ShortOfSpace(&short)))?;
        }
        if self.position == Position::default() && !self.is_measured()? {
            self.before = self.measure(0)?;
            self.report_measured(None, &self.before.clone())?;
        }
        let mut after = Vec::new();
        let mut feed = Feed::new(self.loader()?);
        let mut clock = EpochClock::start();
        self.observers.notify(|observer| observer.resumed())?;
        while self.position.epoch < self.course.epochs && self.early_stop().is_none() {
            if self.together.any(stop.load(Ordering::Relaxed))? {
                let checkpoint = self.save()?;
                return Ok(Finished::Stopped { checkpoint, steps_done: self.position.steps_done });
            }
            match self.advance(&mut feed, &mut clock) {
                Err(error @ TrainError::NotFinite { .. })
                    if self.rollbacks.on_nonfinite == OnNonfinite::RollBack =>
                {
                    self.roll_back(error)?;
                    feed = Feed::new(self.loader()?);
                    clock = EpochClock::start();
                }
                outcome => {
                    if let Some(metrics) = outcome? {
                        after = metrics;
                        clock = EpochClock::start();
                    }
                }
            }
        }
        Ok(Finished::Completed(Summary {
            checkpoint: self.saving.path_of(self.position.steps_done),
            before: std::mem::take(&mut self.before),
            best: self.saving.best(),
            verdict: self.last_loss.and_then(|loss| Verdict::of(loss, self.loss_range?, &after)),
            after,
            early_stop: if self.position.epoch < self.course.epochs { self.early_stop() } else { None },
            n_steps: self.position.steps_done - steps_before,
            took: self.started.elapsed(),
            n_unreadable: self.data.unreadable.len(),
        }))
    }

    /// Makes a step, and what follows it: the end of its epoch, whose metrics are returned, or a checkpoint that is due.
    fn advance(
        &mut self,
        feed: &mut Feed,
        clock: &mut EpochClock,
    ) -> Result<Option<Vec<Metric>>, TrainError> {
        if self.step(feed, clock)? {
            return self.end_epoch(clock).map(Some);
        }
        if self.saving.is_due_by_time() {
            self.save()?;
        }
        Ok(None)
    }

    /// Whether the untrained encoder was measured before, which the process that writes knows.
    fn is_measured(&self) -> Result<bool, TrainError> {
        let is_measured = self.saving.is_writer()
            && MetricsLog::read(&self.run.metrics())?.iter().any(|line| line["epoch"] == 0);
        self.together.any(is_measured)
    }

    fn loader(&self) -> Result<Loader, LoaderError> {
        let (graph, parts) = (self.engine.graph(), self.engine.parts());
        self.data.loader(graph, parts, self.engine.own_parts(), &self.course, &self.position)
    }

    fn save(&mut self) -> Result<PathBuf, TrainError> {
        let snapshot = self.snapshot()?;
        let path = self.saving.save(self.position.steps_done, &snapshot)?;
        self.write_unreadable()?;
        self.observers.notify(|observer| observer.saved(&path))?;
        Ok(path)
    }

    /// # Errors
    /// If a parameter is not finite: a run can resume from every checkpoint.
    fn snapshot(&mut self) -> Result<Snapshot, TrainError> {
        if let Some(what) = self.engine.nonfinite_parameter() {
            return Err(self.diverged_by_now(what));
        }
        self.saving.snapshot(&mut self.engine, &self.position, &self.spikes)
    }

    fn write_unreadable(&self) -> Result<(), TrainError> {
        if self.saving.is_writer() {
            self.run.write_unreadable(&self.data.unreadable.list())?;
        }
        Ok(())
    }

    fn report_unreadable(&mut self) -> Result<(), TrainError> {
        let Some(n_images) = self.data.more_unreadable() else { return Ok(()) };
        let list = self.run.unreadable();
        let note = Note::Unreadable { n_images, list: &list };
        self.observers.notify(|observer| observer.note(&note))
    }
}

/// A loss that needs classes gets one for every image.
fn check_labels(modules: &pipeline::Modules, train: &dyn plugin_api::Images) -> Result<(), TrainError> {
    let Some(loss) = modules.losses.iter().find(|loss| loss.module.needs_labels()) else { return Ok(()) };
    let n_images = train.len();
    match (0..n_images).filter(|&i| train.label(i).is_none()).count() {
        0 => Ok(()),
        without => Err(TrainError::NoLabels { loss: loss.name.clone(), without, n_images }),
    }
}

impl EpochClock {
    fn start() -> Self {
        Self { started: Instant::now(), waited: Duration::ZERO, n_steps: 0 }
    }
}
