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
mod labels;
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
use plugin_api::{Metric, Monitor};
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
pub use self::labels::check_labels;
pub use self::measure::Measure;
pub use self::observer::{
    EpochReport, EpochSummary, Gradients, Measuring, Note, Observer, ObserverError, PartReport, RolledBack,
    Silent, SpikeConsequence, Started, StepReport,
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
use self::observers::{Observers, Opening, ResumeAt};
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
    /// Where the last checkpoint was written, or where the run was resumed.
    saved: Option<Position>,
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

/// What the trainer has done.
enum Advance {
    /// A step.
    Step,
    /// The last step of an epoch, and what follows it, with these metrics.
    Epoch(Vec<Metric>),
    /// It was asked to stop while it measured.
    Stopped,
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
        check_labels(&pipeline, &splits)?;
        measure::check_declared(&pipeline.monitors)?;
        let together = Together::new(Arc::clone(&options.processes));
        let own = OwnData::open(&pipeline.monitors)?;
        own.all().iter().try_for_each(|own| labels::check_classes(&own.splits))?;
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
        // One that was imported tells of no images, and is no more than the start of a run.
        let is_start = |of: &Snapshot| position.steps_done == 0 && !ImageSets::are_told(&of.metadata);
        let goes_on = resume.as_deref().is_some_and(|of| !is_start(of));
        let resume_at = goes_on.then_some(ResumeAt {
            steps_done: position.steps_done,
            measures_first: position.step >= steps_per_epoch,
        });
        let opening = saving.is_writer().then(|| Opening {
            run: run.clone(),
            pipeline: saving.pipeline().to_owned(),
            steps_per_epoch,
            resume: resume_at,
            environment: environment::described(
                saving.images(),
                options.n_workers,
                together.n(),
                position.steps_done,
            ),
            moved: pipeline.moved.pairs(),
        });
        let observers = Observers::new(opening, observer)?;
        let mut data = Data::new(
            (splits, own),
            (pipeline.views, pipeline.trained_size),
            options.n_workers,
            pipeline.max_unreadable,
        );
        if goes_on && saving.is_writer() {
            data.count_again(&run.read_unreadable()?);
        }
        Ok(Self {
            run,
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
            data,
            monitors: Monitors { list: pipeline.monitors, off: Vec::new() },
            spikes,
            rollbacks: Rollbacks { on_nonfinite, last: None },
            early_stopping: pipeline.early_stopping,
            clip_norm,
            saving,
            observers,
            together,
            saved: goes_on.then(|| position.clone()),
            position,
            changed_images,
            before: Vec::new(),
            last_loss: None,
            started: Instant::now(),
        })
    }

    fn run(mut self, stop: &AtomicBool) -> Result<Finished, TrainError> {
        let folder = self.run;
        let mut result =
            self.run_epochs(stop).map_err(|error| error.at(self.position.epoch, self.position.step));
        let no_room = result.as_ref().err().and_then(TrainError::no_room);
        if no_room.is_some() {
            self.observers.notify(|observer| observer.note(&Note::NoRoom))?;
        }
        // What is said of this run must not get into another one that has its place now.
        let has_begun = self.observers.has_begun() && self.saving.check_folder().is_ok();
        if has_begun && let Err(error) = self.write_unreadable() {
            // What went wrong first is what the caller must get.
            result = result.and(Err(error));
        }
        let (outcome, caller) = match no_room {
            Some(memory) => self.out_of_memory(memory),
            None => (result, self.observers.caller()),
        };
        if let (true, Err(error)) = (has_begun, &outcome) {
            let _ = folder.write_failure(&error.to_string());
        }
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
        let measures_untrained = self.is_untrained_measured()?;
        let started = Started {
            folder: self.run.path(),
            epochs: self.course.epochs,
            steps_per_epoch: self.course.steps_per_epoch,
            batch: self.course.batch,
            steps_done: steps_before,
            n_measurements: self.n_measurements(measures_untrained),
        };
        self.observers.notify(|observer| observer.started(&started))?;
        if let Some(images) = self.changed_images.take() {
            self.observers.notify(|observer| observer.note(&Note::ChangedImages(images)))?;
        }
        if self.saved.is_none() {
            // Saved first, so that a run can be resumed from the start.
            self.save()?;
        }
        let epochs_left = self.position.epoch..self.course.epochs;
        if let Some(short) = self.saving.check_space(steps_before, epochs_left)? {
            self.observers.notify(|observer| observer.note(&Note::ShortOfSpace(&short)))?;
        }
        if measures_untrained {
            let Some(before) = self.measure(0, stop)? else { return self.stopped() };
            self.report_measured(None, &before)?;
            self.before = before;
        }
        let mut after = Vec::new();
        let mut feed = None;
        let mut clock = EpochClock::start();
        self.observers.notify(|observer| observer.resumed())?;
        while self.position.epoch < self.course.epochs && self.early_stop().is_none() {
            if self.together.any(stop.load(Ordering::Relaxed))? {
                return self.stopped();
            }
            match self.advance(&mut feed, &mut clock, stop) {
                Err(error @ TrainError::NotFinite { .. })
                    if self.rollbacks.on_nonfinite == OnNonfinite::RollBack =>
                {
                    // The checkpoint to go back to is none of those that this run replaces.
                    self.begin()?;
                    self.roll_back(error)?;
                    (feed, clock) = (None, EpochClock::start());
                }
                outcome => match outcome? {
                    Advance::Step => {}
                    Advance::Epoch(metrics) => (after, clock) = (metrics, EpochClock::start()),
                    Advance::Stopped => return self.stopped(),
                },
            }
        }
        self.saving.check_folder()?;
        Ok(Finished::Completed(Summary {
            checkpoint: self.saving.path_of(self.position.steps_done),
            before: std::mem::take(&mut self.before),
            best: self.saving.best(),
            verdict: self
                .last_loss
                .and_then(|loss| Verdict::of(loss, self.engine.loss_range(self.course.batch)?, &after)),
            after,
            early_stop: if self.position.epoch < self.course.epochs { self.early_stop() } else { None },
            n_steps: self.position.steps_done - steps_before,
            took: self.started.elapsed(),
            n_unreadable: self.data.unreadable.len(),
        }))
    }

    /// Makes a step and saves if that is due by time; after the last step of an epoch, ends the epoch. One that was saved
    /// there, and not measured, only ends it.
    fn advance(
        &mut self,
        feed: &mut Option<Feed>,
        clock: &mut EpochClock,
        stop: &AtomicBool,
    ) -> Result<Advance, TrainError> {
        if self.position.step < self.course.steps_per_epoch {
            let feed = match feed {
                Some(feed) => feed,
                None => feed.insert(Feed::new(self.loader()?)),
            };
            if !self.step(feed, clock)? {
                if self.saving.is_due_by_time() {
                    self.save()?;
                }
                return Ok(Advance::Step);
            }
        }
        Ok(self.end_epoch(clock, stop)?.map_or(Advance::Stopped, Advance::Epoch))
    }

    /// Ends a run that was asked to stop, with a checkpoint of where it is.
    fn stopped(&mut self) -> Result<Finished, TrainError> {
        let checkpoint = match self.saved == Some(self.position.clone()) {
            true => self.saving.path_of(self.position.steps_done),
            false => self.save()?,
        };
        Ok(Finished::Stopped { checkpoint, steps_done: self.position.steps_done })
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
        self.saved = Some(self.position.clone());
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

impl EpochClock {
    fn start() -> Self {
        Self { started: Instant::now(), waited: Duration::ZERO, n_steps: 0 }
    }
}
