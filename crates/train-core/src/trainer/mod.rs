//! The training loop: from a checked pipeline to a trained encoder in a run folder.
//!
//! Start at [`train`]. A run can be stopped at any step and goes on with the same bits: everything that a step depends
//! on is in the checkpoint, and every random draw is keyed by where it is used.

mod error;
mod feed;
mod fit;
mod measure;
mod position;
mod spikes;
mod step;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tensor_ops::Device;

pub use self::error::{DeviceMemory, TrainError};
pub use self::fit::Fit;
pub use self::measure::Measure;

use self::feed::Feed;
use self::position::Position;
use self::spikes::SpikeDetector;
use crate::SingleProcess;
use crate::engine::Engine;
use crate::loader::{Loader, LoaderPlan, Rest, UnreadableLog};
use crate::metrics::{ProgressLine, ProgressPlan};
use pipeline::{CheckpointConfig, LearningRateConfig, MomentumConfig, OnNonfinite, Pipeline, View};
use plugin_api::{LossRange, Metric, Monitor, Progress, Schedule, Splits};
use run_store::RunFolder;
use run_store::checkpoint::{CheckpointFolder, Snapshot};
use run_store::metrics::{EventLog, MetricsLine, MetricsLog};

/// Batches that workers may be ahead of the training step.
const PREFETCH_BATCHES: usize = 3;

/// TensorBoard gets the loss about this often in an epoch.
const EVENTS_PER_EPOCH: usize = 50;

/// How a run uses the machine; nothing here changes its result.
#[derive(Clone, Copy, Debug)]
pub struct TrainOptions {
    /// Threads that decode and augment, at least 1.
    pub n_workers: usize,
}

/// How a run ended.
#[derive(Debug)]
pub enum Finished {
    /// All epochs are done.
    Completed(Summary),
    /// It was asked to stop, and did, after a step.
    Stopped {
        /// Where to go on from.
        checkpoint: PathBuf,
        /// Steps done.
        steps_done: u64,
    },
}

/// A completed run.
#[derive(Debug)]
pub struct Summary {
    /// The last checkpoint.
    pub checkpoint: PathBuf,
    /// The metrics of the untrained encoder, if this process measured them.
    pub before: Vec<Metric>,
    /// The metrics after the last epoch.
    pub after: Vec<Metric>,
    /// Steps made by this process; 0 if the run was complete before.
    pub n_steps: u64,
    /// Time spent by this process.
    pub took: Duration,
    /// Images that could not be read.
    pub n_unreadable: usize,
}

/// Trains `pipeline` in `run`, from the start or from a checkpoint, until its last epoch or until `stop` is set.
///
/// # Errors
/// Whatever ends a run early. What was saved before that stays.
pub fn train(
    pipeline: Pipeline,
    device: &Device,
    run: &RunFolder,
    resume: Option<&Snapshot>,
    options: &TrainOptions,
    stop: &AtomicBool,
) -> Result<Finished, TrainError> {
    Trainer::start(pipeline, device, run, resume, options)?.run(stop)
}

/// Writes the checkpoint of `pipeline` before its first step into `run`, with `change` made to its tensors: a run that
/// starts from given weights, and goes on like any other. Gives its path.
///
/// # Errors
/// If what `change` leaves does not fit the pipeline, or the checkpoint cannot be written.
pub fn write_start(
    pipeline: Pipeline,
    device: &Device,
    run: &RunFolder,
    change: impl FnOnce(&mut Snapshot),
) -> Result<PathBuf, TrainError> {
    let mut spikes = SpikeDetector::new(pipeline.stability, pipeline.network.parameters.clone());
    let mut engine = Engine::new(pipeline.network, pipeline.seed, device.clone(), Box::new(SingleProcess))?;
    let mut snapshot = Snapshot::default();
    engine.save(&mut snapshot);
    change(&mut snapshot);
    Position::default().save(&mut snapshot.metadata);
    spikes.save(&mut snapshot.metadata);
    snapshot.metadata.insert("pipeline".into(), pipeline.text);
    restore(&snapshot, &mut engine, &mut spikes)?;
    Ok(CheckpointFolder::new(run.checkpoints(), pipeline.checkpoint.keep).save(0, &snapshot)?)
}

struct Trainer<'a> {
    run: &'a RunFolder,
    engine: Engine,
    splits: Splits,
    views: Vec<View>,
    seed: u64,
    batch: usize,
    epochs: usize,
    steps_per_epoch: usize,
    momentum: Option<MomentumConfig>,
    learning_rate: LearningRateConfig,
    schedule: Box<dyn Schedule>,
    monitors: Vec<(String, Box<dyn Monitor>)>,
    checkpoint: CheckpointConfig,
    spikes: SpikeDetector,
    on_nonfinite: OnNonfinite,
    /// Where the last rollback went, and how many went there.
    rolled_back_to: Option<(u64, usize)>,
    pipeline_text: String,
    loss_range: LossRange,
    n_workers: usize,
    unreadable: Arc<UnreadableLog>,
    n_unreadable_told: usize,
    position: Position,
    checkpoints: CheckpointFolder,
    saved_at: Instant,
    metrics: MetricsLog,
    events: EventLog,
    progress: ProgressLine,
    off_told: Vec<String>,
    before: Vec<Metric>,
    started: Instant,
}

/// Sums over the part of an epoch that this process ran.
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
    ) -> Result<Self, TrainError> {
        let splits = pipeline.dataset.open()?;
        let n_images = splits.train.len();
        let steps_per_epoch = n_images / pipeline.batch;
        if steps_per_epoch == 0 {
            return Err(crate::loader::LoaderError::TooFewImages { n_images, batch: pipeline.batch }.into());
        }
        let mut spikes = SpikeDetector::new(pipeline.stability.clone(), pipeline.network.parameters.clone());
        let mut engine =
            Engine::new(pipeline.network, pipeline.seed, device.clone(), Box::new(SingleProcess))?;
        let position = match resume {
            Some(snapshot) => restore(snapshot, &mut engine, &mut spikes)?,
            None => Position::default(),
        };
        let checkpoints = CheckpointFolder::new(run.checkpoints(), pipeline.checkpoint.keep);
        let mut metrics = MetricsLog::open(run.metrics())?;
        if resume.is_some() {
            metrics.truncate_after(position.steps_done)?;
            checkpoints.set_aside_after(position.steps_done)?;
        }
        let n_images_all = n_images + splits.test.as_ref().map_or(0, |test| test.len());
        Ok(Self {
            loss_range: engine.loss_range(pipeline.batch),
            engine,
            unreadable: Arc::new(UnreadableLog::new(n_images_all, pipeline.max_unreadable)),
            n_unreadable_told: 0,
            splits,
            views: pipeline.views,
            seed: pipeline.seed,
            batch: pipeline.batch,
            epochs: pipeline.epochs,
            steps_per_epoch,
            momentum: pipeline.momentum,
            learning_rate: pipeline.learning_rate,
            schedule: pipeline.schedule,
            monitors: pipeline.monitors,
            checkpoint: pipeline.checkpoint,
            spikes,
            on_nonfinite: pipeline.stability.on_nonfinite,
            rolled_back_to: None,
            pipeline_text: pipeline.text,
            n_workers: options.n_workers,
            checkpoints,
            saved_at: Instant::now(),
            metrics,
            events: EventLog::create(&run.events(), position.steps_done)?,
            progress: ProgressLine::start(ProgressPlan {
                epochs: pipeline.epochs as u64,
                steps_per_epoch: steps_per_epoch as u64,
                batch: pipeline.batch,
            }),
            position,
            run,
            off_told: Vec::new(),
            before: Vec::new(),
            started: Instant::now(),
        })
    }

    fn run(mut self, stop: &AtomicBool) -> Result<Finished, TrainError> {
        let result = self.run_epochs(stop);
        let no_room = result.as_ref().err().and_then(TrainError::no_room);
        if no_room.is_some() {
            self.progress.println("the device is out of memory; trying what would fit");
        }
        self.progress.finish();
        self.run.write_unreadable(&self.unreadable.list())?;
        match no_room {
            Some(memory) => Err(self.out_of_memory(memory)),
            None => result,
        }
    }

    /// The error for a step that the device had no room for, with what it has room for.
    fn out_of_memory(self, memory: DeviceMemory) -> TrainError {
        let (batch, device) = (self.batch, self.engine.device().clone());
        let at_once = batch / self.engine.parts().n_parts;
        let text = self.pipeline_text.clone();
        // All that the run had on the device.
        drop(self);
        let fit = match tensor_ops::give_back_memory() {
            Ok(()) => fit::find_fit(&text, batch, at_once, &device),
            Err(_) => Fit::default(),
        };
        TrainError::OutOfMemory { batch, at_once, memory, fit }
    }

    fn run_epochs(&mut self, stop: &AtomicBool) -> Result<Finished, TrainError> {
        let steps_before = self.position.steps_done;
        if self.position == Position::default() {
            // Saved first, so that a run can be resumed from its first moment.
            self.save()?;
            let measured = MetricsLog::read(&self.run.metrics())?.iter().any(|line| line["epoch"] == 0);
            if !measured {
                self.measure_untrained()?;
            }
        }
        let mut after = Vec::new();
        let mut feed = Feed::new(self.loader()?);
        let mut clock = EpochClock::start();
        self.progress.resume();
        while self.position.epoch < self.epochs {
            if stop.load(Ordering::Relaxed) {
                let checkpoint = self.save()?;
                return Ok(Finished::Stopped { checkpoint, steps_done: self.position.steps_done });
            }
            let epoch_is_done = match self.step(&mut feed, &mut clock) {
                Err(error @ TrainError::NotFinite { .. }) if self.on_nonfinite == OnNonfinite::RollBack => {
                    self.roll_back(error)?;
                    feed = Feed::new(self.loader()?);
                    clock = EpochClock::start();
                    continue;
                }
                done => done?,
            };
            if epoch_is_done {
                after = self.end_epoch(&clock)?;
                clock = EpochClock::start();
            } else if self.saved_at.elapsed().as_secs_f64() > 60.0 * self.checkpoint.every_minutes {
                self.save()?;
            }
        }
        Ok(Finished::Completed(Summary {
            checkpoint: self.checkpoints.path_of(self.position.steps_done),
            before: std::mem::take(&mut self.before),
            after,
            n_steps: self.position.steps_done - steps_before,
            took: self.started.elapsed(),
            n_unreadable: self.unreadable.len(),
        }))
    }

    fn loader(&self) -> Result<Loader, TrainError> {
        let views = self
            .engine
            .graph()
            .views
            .iter()
            .filter_map(|name| self.views.iter().find(|view| view.name == *name))
            .map(|view| (view.name.clone(), Arc::clone(&view.transform)))
            .collect();
        Ok(Loader::start(LoaderPlan {
            images: Arc::clone(&self.splits.train),
            views,
            seed: self.position.data_seed(self.seed),
            shuffle_seed: self.seed,
            batch: self.batch,
            rest: Rest::LeftOut,
            parts: self.engine.parts().clone(),
            first: (self.position.epoch as u64, self.position.step as u64),
            epochs: self.epochs as u64,
            n_workers: self.n_workers,
            prefetch_batches: PREFETCH_BATCHES,
            unreadable: Arc::clone(&self.unreadable),
        })?)
    }

    fn lr(&self, at: Progress) -> f64 {
        self.learning_rate.scaled(self.batch) * self.schedule.factor(at)
    }

    fn measure_untrained(&mut self) -> Result<(), TrainError> {
        let metrics = self.measure(0)?;
        let line = MetricsLine::new(0).with("epoch", 0);
        self.log(line, &metrics)?;
        self.before = metrics;
        Ok(())
    }

    /// Measures, logs and saves after an epoch; gives the metrics.
    fn end_epoch(&mut self, clock: &EpochClock) -> Result<Vec<Metric>, TrainError> {
        let seconds = clock.started.elapsed().as_secs_f64();
        let n_steps = self.steps_per_epoch as f64;
        let at = Progress {
            epoch: self.position.epoch,
            step: self.position.step - 1,
            steps_per_epoch: self.steps_per_epoch,
            epochs: self.epochs,
        };
        let line = MetricsLine::new(self.position.steps_done)
            .with("epoch", self.position.epoch + 1)
            .with("loss", self.position.loss_sum / n_steps)
            .with("contrast_top1", self.position.top1_sum / n_steps)
            .with("lr", self.lr(at))
            .with("seconds", seconds)
            .with("images_per_s", (clock.n_steps * self.batch) as f64 / seconds)
            .with("data_wait_share", clock.waited.as_secs_f64() / seconds)
            .with("unreadable", self.unreadable.len());
        let line = self.spikes.metrics().into_iter().fold(line, |line, (name, value)| line.with(name, value));
        self.spikes.next_epoch();
        self.position.next_epoch();
        let metrics = self.measure(self.position.epoch)?;
        self.log(line, &metrics)?;
        // Before the epoch counts as done, so that a run killed here measures and compares it again.
        self.save_best(&metrics)?;
        let last = self.position.epoch == self.epochs;
        if last || self.position.epoch.is_multiple_of(self.checkpoint.every_epochs) {
            self.save()?;
        }
        self.progress.resume();
        Ok(metrics)
    }

    fn measure(&mut self, epochs_done: usize) -> Result<Vec<Metric>, TrainError> {
        self.progress.pause();
        let measure = Measure {
            splits: &self.splits,
            views: &self.views,
            seed: self.seed,
            batch: self.batch,
            n_workers: self.n_workers,
            unreadable: &self.unreadable,
        };
        let epochs = self.epochs;
        let outcomes = measure
            .metrics(&mut self.engine, &mut self.monitors, |monitor| monitor.is_due(epochs_done, epochs))?;
        for (name, reason) in outcomes.off {
            if !self.off_told.contains(&name) {
                self.progress.println(format!("monitor {name} is off: {reason}"));
                self.off_told.push(name);
            }
        }
        for metric in &outcomes.metrics {
            let when = if epochs_done == 0 { "untrained".into() } else { format!("epoch {epochs_done}") };
            self.progress.println(format!("{when}: {} ({})", shown(metric), metric.protocol));
        }
        if let Some(metric) = outcomes.metrics.first() {
            self.progress.note(shown(metric));
        }
        self.tell_unreadable();
        Ok(outcomes.metrics)
    }

    fn log(&mut self, line: MetricsLine, metrics: &[Metric]) -> Result<(), TrainError> {
        let line = metrics.iter().fold(line, |line, metric| line.with(metric.name.clone(), metric.value));
        self.metrics.append(&line)?;
        self.events.scalars(line.step(), line.numbers().filter(|(name, _)| *name != "epoch"))?;
        Ok(())
    }

    fn save(&mut self) -> Result<PathBuf, TrainError> {
        let snapshot = self.snapshot()?;
        let path = self.checkpoints.save(self.position.steps_done, &snapshot)?;
        self.saved_at = Instant::now();
        self.run.write_unreadable(&self.unreadable.list())?;
        Ok(path)
    }

    fn save_best(&mut self, metrics: &[Metric]) -> Result<(), TrainError> {
        let Some(best) = &self.checkpoint.best else { return Ok(()) };
        if let Some(metric) = metrics.iter().find(|metric| metric.name == *best) {
            let score = if metric.more_is_better { metric.value } else { -metric.value };
            let snapshot = self.snapshot()?;
            self.checkpoints.save_best(score, &snapshot)?;
        }
        Ok(())
    }

    /// Nothing in it depends on time, place or number of threads: equal runs write equal checkpoints.
    ///
    /// # Errors
    /// If a parameter is not finite: every checkpoint is good to go on from.
    fn snapshot(&mut self) -> Result<Snapshot, TrainError> {
        if let Some(what) = self.engine.nonfinite_parameter() {
            return Err(self.diverged(what));
        }
        let mut snapshot = Snapshot::default();
        self.engine.save(&mut snapshot);
        self.position.save(&mut snapshot.metadata);
        self.spikes.save(&mut snapshot.metadata);
        snapshot.metadata.insert("pipeline".into(), self.pipeline_text.clone());
        Ok(snapshot)
    }

    fn tell_unreadable(&mut self) {
        if self.unreadable.len() == self.n_unreadable_told {
            return;
        }
        let list = self.unreadable.list();
        self.n_unreadable_told = list.len();
        self.progress.println(format!(
            "{} unreadable {} so far, replaced by others; listed in {}",
            list.len(),
            if list.len() == 1 { "image" } else { "images" },
            self.run.unreadable().display()
        ));
    }
}

/// Sets everything that a checkpoint holds, and gives where it was written.
fn restore(
    snapshot: &Snapshot,
    engine: &mut Engine,
    spikes: &mut SpikeDetector,
) -> Result<Position, TrainError> {
    engine.load(snapshot)?;
    spikes.load(&snapshot.metadata)?;
    let (places, is_frozen) = spikes.frozen_by_spike();
    engine.set_trainable(places, !is_frozen);
    Position::load(&snapshot.metadata)
}

impl EpochClock {
    fn start() -> Self {
        Self { started: Instant::now(), waited: Duration::ZERO, n_steps: 0 }
    }
}

/// A metric as the terminal shows it.
pub fn shown(metric: &Metric) -> String {
    if metric.is_share {
        format!("{} {:.1} %", metric.name, 100.0 * metric.value)
    } else {
        format!("{} {:.3}", metric.name, metric.value)
    }
}
