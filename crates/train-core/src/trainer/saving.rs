//! When a run is saved, and the contents of a checkpoint.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use pipeline::CheckpointConfig;
use plugin_api::Metric;
use processes::Processes;
use run_store::checkpoint::{self, CheckpointError, CheckpointFolder, Score, Snapshot};
use run_store::{HeldFolder, RunFolder};

use super::changed::check_sets;
use super::images::{ChangedImages, ImageSets};
use super::position::Position;
use super::spikes::SpikeDetector;
use super::{BestCheckpoint, ShortOfSpace, TrainError};
use crate::engine::{Engine, EngineError};

/// The checkpoints of a run.
pub(super) struct Saving {
    run: RunFolder,
    held: HeldFolder,
    folder: CheckpointFolder,
    config: CheckpointConfig,
    /// The resolved pipeline, which every checkpoint contains.
    pipeline: String,
    /// What is trained and measured on, which every checkpoint tells.
    images: ImageSets,
    saved_at: Instant,
    /// Whether the run's folder has its pipeline, by which it is found. One that a program has made may have none.
    has_pipeline: bool,
    /// The process whose files they are, and those that train with it.
    processes: Arc<dyn Processes>,
}

impl Saving {
    pub(super) fn new(
        run: &RunFolder,
        config: CheckpointConfig,
        pipeline: String,
        images: ImageSets,
        processes: Arc<dyn Processes>,
    ) -> Self {
        let folder = CheckpointFolder::new(run.checkpoints(), config.keep);
        let run = run.clone();
        let has_pipeline = run.pipeline().is_file();
        let held = HeldFolder::new(run.path());
        Self {
            run,
            held,
            folder,
            config,
            pipeline,
            images,
            saved_at: Instant::now(),
            has_pipeline,
            processes,
        }
    }

    /// Whether this process writes the files. All others only know what they would be.
    pub(super) fn is_writer(&self) -> bool {
        self.processes.is_first()
    }

    /// What is trained and measured on.
    pub(super) fn images(&self) -> &ImageSets {
        &self.images
    }

    /// The resolved pipeline.
    pub(super) fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// The newest checkpoint, in every process.
    pub(super) fn latest(&self) -> Result<Option<(PathBuf, Snapshot)>, TrainError> {
        let own = if self.is_writer() { self.folder.latest()? } else { None };
        if self.processes.n() == 1 {
            return Ok(own);
        }
        let path = own.as_ref().map_or(PathBuf::new(), |(path, _)| path.clone());
        let path = self.processes.broadcast(path.to_string_lossy().into_owned().into_bytes());
        let path = PathBuf::from(String::from_utf8_lossy(&path.map_err(EngineError::from)?).into_owned());
        let snapshot = share(&*self.processes, own.as_ref().map(|(_, snapshot)| snapshot))?;
        Ok(snapshot.map(|snapshot| (path, snapshot.into_owned())))
    }

    /// The path of the newest checkpoint, if there is one here.
    pub(super) fn latest_path(&self) -> Option<PathBuf> {
        self.folder.list().ok()?.into_iter().next_back().map(|(_, path)| path)
    }

    pub(super) fn path_of(&self, step: u64) -> PathBuf {
        self.folder.path_of(step)
    }

    pub(super) fn is_due_after_epoch(&self, epochs_done: usize) -> bool {
        let is_kept = self.config.keep_every.is_some_and(|every| epochs_done.is_multiple_of(every));
        is_kept || epochs_done.is_multiple_of(self.config.every_epochs)
    }

    /// Of the process that writes: clocks differ, and the others have nothing to do.
    pub(super) fn is_due_by_time(&self) -> bool {
        self.is_writer() && self.saved_at.elapsed().as_secs_f64() > 60.0 * self.config.every_minutes
    }

    /// Saves the end of an epoch that is not measured yet. Those before it stay until it is.
    pub(super) fn save_unmeasured(&mut self, step: u64, snapshot: &Snapshot) -> Result<PathBuf, TrainError> {
        if !self.is_writer() {
            return Ok(self.path_of(step));
        }
        self.check_folder()?;
        let path = self.folder.add(step, snapshot)?;
        self.saved_at = Instant::now();
        Ok(path)
    }

    /// Removes what [`save_unmeasured`](Self::save_unmeasured) saved, because measuring has shown it to be of no use.
    pub(super) fn remove_unmeasured(&self, step: u64) -> Result<(), CheckpointError> {
        match self.is_writer() && self.check_folder().is_ok() {
            true => self.folder.remove(step),
            false => Ok(()),
        }
    }

    /// Checks that the folder of the run is still there, and not another run's under its name: a file of it that is open tells
    /// nothing of that.
    pub(super) fn check_folder(&self) -> Result<(), TrainError> {
        let is_there = !self.has_pipeline || (self.held.is_in_place() && self.run.pipeline().is_file());
        match is_there || !self.is_writer() {
            true => Ok(()),
            false => Err(TrainError::FolderGone { folder: self.run.path().into() }),
        }
    }

    pub(super) fn save(&mut self, step: u64, snapshot: &Snapshot) -> Result<PathBuf, TrainError> {
        if !self.is_writer() {
            return Ok(self.path_of(step));
        }
        self.check_folder()?;
        let path = self.folder.save(step, snapshot)?;
        let position = (snapshot.metadata.get("epoch"), snapshot.metadata.get("step"));
        if let (Some(every), (Some(epoch), Some(step))) = (self.config.keep_every, position)
            && let (Ok(epoch), "0") = (epoch.parse::<usize>(), step.as_str())
            && epoch > 0
            && epoch.is_multiple_of(every)
        {
            self.folder.keep(&path, epoch)?;
        }
        self.saved_at = Instant::now();
        Ok(path)
    }

    /// Checks that there is room for the next checkpoint of a run that has done so many steps, as large as the newest, and
    /// returns what is missing for all that will be kept at a time.
    ///
    /// # Errors
    /// [`TrainError::NoSpace`].
    pub(super) fn check_space(
        &self,
        steps_done: u64,
        epochs: std::ops::Range<usize>,
    ) -> Result<Option<ShortOfSpace>, TrainError> {
        let Some(newest) = self.latest_path().filter(|_| self.is_writer()) else { return Ok(None) };
        let (Ok(newest_size), Some(free)) =
            (newest.metadata().map(|data| data.len()), run_store::free_space(&newest))
        else {
            return Ok(None);
        };
        // Later ones are set aside, and stay.
        let there = self.folder.list()?.into_iter().filter(|(step, _)| *step <= steps_done);
        let n_there = there.count().min(self.config.keep) as u64;
        let every = self.config.keep_every.unwrap_or(usize::MAX);
        let n_kept = epochs.end / every - epochs.start / every;
        // One is written before an older one goes, and one before an epoch is measured.
        let n_to_come = self.config.keep as u64 - n_there + 2;
        let n_best = u64::from(self.config.best.is_some() && !self.folder.best_path().is_file());
        let short = ShortOfSpace {
            folder: newest.parent().map(Path::to_owned).unwrap_or_default(),
            checkpoint: newest_size,
            needed: newest_size * (n_to_come + n_best + n_kept as u64),
            free,
        };
        short.judged()
    }

    /// The score that decides which checkpoint is best: by the first of the metrics that may decide it.
    pub(super) fn score(&self, metrics: &[Metric]) -> Option<Score> {
        (0..).zip(self.config.best_by()).find_map(|(stands_in, name)| {
            let metric = metrics.iter().find(|metric| metric.name == name)?;
            let value = if metric.more_is_better { metric.value } else { -metric.value };
            Some(Score { metric: name.to_owned(), value, stands_in })
        })
    }

    /// The best checkpoint, in the process that writes.
    pub(super) fn best(&mut self) -> Option<BestCheckpoint> {
        if !self.is_writer() || self.config.best.is_none() {
            return None;
        }
        let path = self.folder.best_path();
        let best = self.folder.best()?;
        let epoch = Position::load(&best.metadata).ok()?.epoch;
        Some(BestCheckpoint { path, metric: best.score.metric.clone(), epoch })
    }

    pub(super) fn save_best(&mut self, score: Score, snapshot: &Snapshot) -> Result<(), CheckpointError> {
        if self.is_writer() { self.folder.save_best(score, snapshot).map(drop) } else { Ok(()) }
    }

    /// The contents of a checkpoint. Nothing in it depends on time, place or number of threads, so equal runs write
    /// equal checkpoints.
    pub(super) fn snapshot(
        &self,
        engine: &mut Engine,
        position: &Position,
        spikes: &SpikeDetector,
    ) -> Result<Snapshot, TrainError> {
        let mut snapshot = Snapshot::default();
        engine.save(&mut snapshot)?;
        finish(&mut snapshot, position, spikes, &self.pipeline);
        self.images.save(&mut snapshot.metadata);
        Ok(snapshot)
    }

    /// Checks that the images are those that `snapshot` has seen, or may be others: see [`check_sets`].
    pub(super) fn check_images(
        &self,
        snapshot: &Snapshot,
        accepted: bool,
    ) -> Result<Option<ChangedImages>, TrainError> {
        check_sets(&self.images, snapshot, &self.folder, accepted)
    }
}

/// Whether a checkpoint is of a later step than `step`.
pub(super) fn is_later_than(step: u64) -> impl Fn(&Snapshot) -> bool {
    move |snapshot| Position::load(&snapshot.metadata).is_ok_and(|position| position.steps_done > step)
}

/// The checkpoint of the first process, in every process; what the others have is not looked at.
pub(super) fn share<'a>(
    processes: &dyn Processes,
    own: Option<&'a Snapshot>,
) -> Result<Option<Cow<'a, Snapshot>>, TrainError> {
    if processes.n() == 1 {
        return Ok(own.map(Cow::Borrowed));
    }
    let bytes = own.map(checkpoint::to_bytes).unwrap_or_default();
    let bytes = processes.broadcast(bytes).map_err(EngineError::from)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let snapshot = checkpoint::from_bytes(Path::new("the checkpoint of process 0"), &bytes)?;
    Ok(Some(Cow::Owned(snapshot)))
}

/// Adds to an engine's tensors the other contents of a checkpoint.
pub(super) fn finish(snapshot: &mut Snapshot, position: &Position, spikes: &SpikeDetector, pipeline: &str) {
    position.save(&mut snapshot.metadata);
    spikes.save(&mut snapshot.metadata);
    snapshot.metadata.insert("pipeline".into(), pipeline.to_owned());
}

/// Restores everything in a checkpoint, and returns the position at which it was written.
pub(super) fn restore(
    snapshot: &Snapshot,
    engine: &mut Engine,
    spikes: &mut SpikeDetector,
) -> Result<Position, TrainError> {
    engine.load(snapshot)?;
    spikes.load(&snapshot.metadata)?;
    let (parameters, is_frozen) = spikes.frozen_by_spike();
    engine.set_trainable(parameters, !is_frozen)?;
    Position::load(&snapshot.metadata)
}
