//! A run: a folder in which a pipeline is trained and resumed.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use loader::LoaderError;
use pipeline::{Difference, Moved, Pipeline, PipelineConfig, PipelineError, Site};
use plugin_api::Splits;
use processes::{Alone, Processes};
use run_store::checkpoint;
use run_store::{RunFolder, RunLock};
use train_core::trainer::{self, Finished, Observer, Summary, TrainOptions};

use crate::estimate::check_memory;
use crate::evaluation::{Evaluation, EvaluationOptions};
use crate::exchange::{self, ExchangeError, ExportOptions, Exported, Target};
use crate::{
    Encoder, EncoderOptions, Error, EvaluationError, LoadError, OpenRun, RUNS, RunError, Which, device,
    find_run, run, together,
};

/// Where to put a new run, and who trains it.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The folder that contains runs. A new one is `NAME-001` and so on in it.
    pub root: PathBuf,
    /// The run folder itself, which must be new or empty, instead of the next number in `root`.
    pub folder: Option<PathBuf>,
    /// The processes that train the run together, of which this is the first; the others call [`Run::follow`].
    pub processes: Arc<dyn Processes>,
}

impl Default for RunOptions {
    /// The next number in `runs`, and this process alone.
    fn default() -> Self {
        Self { root: RUNS.into(), folder: None, processes: Arc::new(Alone) }
    }
}

/// A run and its folder.
///
/// ```
/// use moco::{Run, RunOptions, Silent};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = tempfile::tempdir()?;
/// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny.ron");
/// # let options = RunOptions { root: root.path().into(), ..RunOptions::default() };
/// let pipeline = moco::read_pipeline(file, &["seed=7".into()])?; // for instance "pipelines/mocov2.ron"
/// let mut run = Run::create_with(pipeline, &options)?;
/// let summary = run.train(&mut Silent)?;
/// assert!(summary.checkpoint.is_file());
///
/// let mut encoder = run.encoder()?;
/// let features = encoder.embed(&[image::RgbImage::new(40, 30)])?;
/// assert_eq!(features.values().len(), encoder.n_features());
/// # Ok(())
/// # }
/// ```
pub struct Run {
    folder: RunFolder,
    /// The opened path: the folder, or a checkpoint in it.
    path: PathBuf,
    /// The pipeline to train; `None` if it has not yet been read from the folder.
    pipeline: Option<Pipeline>,
    /// The checkpoint to resume from, once it has been read.
    open: Option<OpenRun>,
    lock: Option<RunLock>,
    workers: Option<NonZeroUsize>,
    /// Where images are now, if they have moved since the run was last trained.
    moved: Moved,
    accept_changed_images: bool,
    processes: Arc<dyn Processes>,
}

impl Run {
    /// Creates a new run of `pipeline`, with the next number in `runs`.
    ///
    /// # Errors
    /// If the dataset is missing or too small, or the folder cannot be created. Then there is no folder.
    pub fn create(pipeline: Pipeline) -> Result<Self, Error> {
        Self::create_with(pipeline, &RunOptions::default())
    }

    /// [`create`](Self::create) in another place.
    ///
    /// # Errors
    /// As [`create`](Self::create), and if the requested folder is not empty, or a batch cannot be dealt to the processes.
    pub fn create_with(pipeline: Pipeline, options: &RunOptions) -> Result<Self, Error> {
        let processes = Arc::clone(&options.processes);
        let pipeline = together::dealt(pipeline, &processes)?;
        open_dataset(&pipeline)?;
        let folder = RunFolder::create(&options.root, &pipeline.name, options.folder.clone())?;
        folder.write_pipeline(&pipeline.text)?;
        let path = folder.path().to_owned();
        Ok(Self { pipeline: Some(pipeline), ..Self::at(folder, path, processes) })
    }

    /// Opens the run at `path`: a run folder, or a checkpoint in it to resume from.
    ///
    /// # Errors
    /// If there is no run.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, Arc::new(Alone))
    }

    /// [`open`](Self::open), for several processes of which this is the first; the others call [`Run::follow`].
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, processes: Arc<dyn Processes>) -> Result<Self, Error> {
        let path = find_run(path.as_ref());
        let folder = OpenRun::folder_of(&path)?;
        Ok(Self::at(folder, path, processes))
    }

    /// The run in `folder`, opened by `path`, of which nothing is read yet.
    fn at(folder: RunFolder, path: PathBuf, processes: Arc<dyn Processes>) -> Self {
        Self {
            folder,
            path,
            pipeline: None,
            open: None,
            lock: None,
            workers: None,
            moved: Moved::default(),
            accept_changed_images: false,
            processes,
        }
    }

    /// Sets the number of data loader workers; the default is one per core. The result does not depend on it.
    pub fn set_workers(&mut self, n: NonZeroUsize) {
        self.workers = Some(n);
    }

    /// Says where images of the run's dataset are now, if they have moved since. The run keeps it in its folder once it
    /// trains.
    pub fn set_moved(&mut self, moved: Moved) {
        self.moved = moved;
        self.pipeline = None;
    }

    /// Lets the run go on with other images than its checkpoint has seen, from the start of an epoch. Otherwise that is an
    /// error, because the result would be another.
    pub fn accept_changed_images(&mut self) {
        self.accept_changed_images = true;
    }

    /// Those that train the run together.
    pub(crate) fn processes(&self) -> &Arc<dyn Processes> {
        &self.processes
    }

    /// The run folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Trains to the last epoch. The files of the run are written as described at [`trainer::train`]; `observer` gets
    /// all events.
    ///
    /// # Errors
    /// If the run has already started, or if training fails. Saved files stay.
    pub fn train(&mut self, observer: &mut dyn Observer) -> Result<Summary, Error> {
        completed(self.train_until(observer, &AtomicBool::new(false))?)
    }

    /// Like [`train`](Self::train), until `stop` is set, for instance by another thread or a signal handler. The run
    /// then ends after the current step, with a checkpoint.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    pub fn train_until(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Finished, Error> {
        self.lock()?;
        if self.path.is_file() || has_checkpoint(&self.folder)? {
            return Err(Error::Started { path: self.folder.path().into() });
        }
        let pipeline = self.take_pipeline()?;
        self.lead(&pipeline)?;
        let finished =
            trainer::train(pipeline, &device()?, &self.folder, None, &self.options(), observer, stop);
        self.lock = None;
        Ok(finished?)
    }

    /// Resumes from the newest checkpoint, or from the one that was opened, to the last epoch. The result is
    /// bit-for-bit that of a run that was never interrupted.
    ///
    /// # Errors
    /// If there is no checkpoint, if the pipeline was [edited](Self::edits), or if training fails. Saved files stay; if it fails
    /// before its first new step is done, nothing of the run has changed.
    pub fn resume(&mut self, observer: &mut dyn Observer) -> Result<Summary, Error> {
        completed(self.resume_until(observer, &AtomicBool::new(false))?)
    }

    /// Like [`resume`](Self::resume), until `stop` is set.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn resume_until(
        &mut self,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Finished, Error> {
        self.lock()?;
        let edits = self.edits()?;
        if !edits.is_empty() {
            return Err(Error::Edited { file: self.folder.pipeline(), edits });
        }
        let open = self.take_open()?;
        let pipeline = self.take_pipeline()?;
        self.lead(&pipeline)?;
        let (snapshot, options) = (Some(&open.snapshot), self.options());
        let finished = trainer::train(pipeline, &device()?, &self.folder, snapshot, &options, observer, stop);
        self.lock = None;
        Ok(match finished? {
            // Stopped before its first step, it is where it was resumed: perhaps at the best checkpoint.
            Finished::Stopped { checkpoint, steps_done } if !checkpoint.is_file() => {
                Finished::Stopped { checkpoint: open.checkpoint, steps_done }
            }
            finished => finished,
        })
    }

    /// Locks the run folder from now on, so that no other process trains in it, and removes what killed ones have left half
    /// written.
    ///
    /// # Errors
    /// If it is already locked, by another process or by this one.
    pub fn lock(&mut self) -> Result<(), Error> {
        if self.lock.is_none() {
            self.lock = Some(self.folder.lock()?);
            self.folder.tidy()?;
        }
        Ok(())
    }

    /// The pipeline that will be trained.
    ///
    /// # Errors
    /// If it has to be read from the folder, and cannot be read.
    pub fn pipeline(&mut self) -> Result<&mut Pipeline, Error> {
        let pipeline = self.take_pipeline()?;
        Ok(self.pipeline.insert(pipeline))
    }

    /// The checkpoint that the run resumes from, which is read now.
    ///
    /// # Errors
    /// If there is none, or it cannot be used.
    pub fn checkpoint(&mut self) -> Result<&Path, Error> {
        let open = self.take_open()?;
        Ok(&self.open.insert(open).checkpoint)
    }

    /// What the pipeline in the run's folder has otherwise than the one that the checkpoint was written with, each with the value
    /// then and now; nothing for most runs. What changes no result does not count: how checkpoints are kept, and in how many
    /// parts a batch is computed.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn edits(&mut self) -> Result<Vec<Difference>, Error> {
        let site = Site::to_look(&device()?);
        let open = self.take_open()?;
        let Some(text) = self.open.insert(open).snapshot.metadata.get("pipeline") else {
            return Ok(Vec::new());
        };
        let now = self.folder.read_pipeline()?;
        if now == *text {
            return Ok(Vec::new());
        }
        // An earlier version may have written fields that mean nothing now.
        let resolved = |text: &str| Pipeline::parse_kept("pipeline.ron", text, &[], site.clone());
        let (Ok(then), Ok(now)) = (resolved(text), resolved(&now)) else {
            // What is wrong with the file is told when it is read.
            return Ok(Vec::new());
        };
        let texts = [("the checkpoint's pipeline", &*then.text), ("pipeline.ron", &*now.text)];
        let mut edits = pipeline::differences(&texts).map_err(PipelineError::from)?;
        edits.retain(|edit| {
            let path = edit.path.as_str();
            path != "data.micro_batch" && path != "checkpoint" && !path.starts_with("checkpoint.")
        });
        Ok(edits)
    }

    /// Whether the run has neither a checkpoint nor a result, so that it can be [trained](Self::train) from its beginning.
    ///
    /// # Errors
    /// If its folder cannot be read.
    pub fn is_unstarted(&self) -> Result<bool, Error> {
        let has_results = self.folder.metrics().metadata().is_ok_and(|metadata| metadata.len() > 0);
        let files = checkpoint::files_in(&self.folder.checkpoints()).map_err(RunError::from)?;
        Ok(!has_results && files.is_empty() && self.folder.read_origin().is_none())
    }

    /// The trained encoder: backbone features of the newest checkpoint, with the view `eval`.
    ///
    /// # Errors
    /// If there is no checkpoint or no such view.
    pub fn encoder(&self) -> Result<Encoder, LoadError> {
        self.encoder_with(&EncoderOptions::default())
    }

    /// [`encoder`](Self::encoder) with options.
    ///
    /// # Errors
    /// As [`encoder`](Self::encoder).
    pub fn encoder_with(&self, options: &EncoderOptions) -> Result<Encoder, LoadError> {
        Encoder::load_with(&self.path, options)
    }

    /// The encoder and the run's labeled images, for evaluation.
    ///
    /// # Errors
    /// If the run has no checkpoint, or its dataset no labels or no test split.
    pub fn evaluation(&self, options: &EvaluationOptions) -> Result<Evaluation, EvaluationError> {
        Evaluation::open(&self.path, options)
    }

    /// Writes the trained encoder to `file`, for the program that `target` names: safetensors, or an ONNX graph.
    ///
    /// # Errors
    /// If there is no checkpoint, the target cannot represent the encoder, or the file cannot be written.
    pub fn export(&self, target: Target, file: impl AsRef<Path>) -> Result<Exported, ExchangeError> {
        exchange::export(&self.path, file.as_ref(), &ExportOptions::new(target))
    }

    fn take_open(&mut self) -> Result<OpenRun, Error> {
        match self.open.take() {
            Some(open) => Ok(open),
            None => Ok(OpenRun::open(&self.path, Which::Latest)?),
        }
    }

    fn take_pipeline(&mut self) -> Result<Pipeline, Error> {
        match self.pipeline.take() {
            Some(pipeline) => Ok(pipeline),
            None => {
                let moved = run::moved(&self.folder, &self.moved)?;
                let site = Site::of_processes(&device()?, Arc::clone(&self.processes)).with_moved(moved);
                together::dealt(Pipeline::read_kept(&self.folder.pipeline(), site)?, &self.processes)
            }
        }
    }

    /// Tells the other processes what is trained.
    fn lead(&self, pipeline: &Pipeline) -> Result<(), Error> {
        together::tell(&*self.processes, self.folder.path(), pipeline)
    }

    fn options(&self) -> TrainOptions {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        TrainOptions {
            n_workers: self.workers.unwrap_or_else(cores).get(),
            processes: Arc::clone(&self.processes),
            accept_changed_images: self.accept_changed_images,
        }
    }
}

fn has_checkpoint(folder: &RunFolder) -> Result<bool, Error> {
    let checkpoints = run_store::checkpoint::CheckpointFolder::new(folder.checkpoints(), 1);
    Ok(!checkpoints.list().map_err(crate::RunError::from)?.is_empty())
}

fn completed(finished: Finished) -> Result<Summary, Error> {
    match finished {
        Finished::Completed(summary) => Ok(summary),
        // Only `stop` ends a run this way, and here nobody can set it.
        Finished::Stopped { checkpoint, .. } => Err(Error::Stopped { checkpoint }),
    }
}

/// Reads and checks the pipeline file at `path`, with `overrides` of the form `path.to.value=VALUE`.
///
/// # Errors
/// If the file cannot be read, or the first error in it.
pub fn read_pipeline(path: impl AsRef<Path>, overrides: &[String]) -> Result<Pipeline, Error> {
    crate::check_process()?;
    Ok(Pipeline::read(path.as_ref(), overrides, &device()?)?)
}

/// Parses and checks the pipeline `text`, which messages call `origin`, with `overrides` of the form
/// `path.to.value=VALUE`.
///
/// # Errors
/// The first error in it.
pub fn parse_pipeline(origin: &str, text: &str, overrides: &[String]) -> Result<Pipeline, Error> {
    crate::check_process()?;
    Ok(Pipeline::parse(origin, text, overrides, &device()?).map_err(PipelineError::from)?)
}

/// Checks a pipeline that was built in Rust, as [`read_pipeline`] checks a file.
///
/// # Errors
/// The first error in it, shown in the text of the file that says the same.
pub fn build_pipeline(config: &PipelineConfig) -> Result<Pipeline, Error> {
    crate::check_process()?;
    Ok(Pipeline::from_config(config, &device()?)?)
}

/// Opens the dataset of `pipeline`, and those of monitors that have one of their own. No image is read.
///
/// # Errors
/// If one is missing, the run's has fewer images than a batch or not the classes that a loss needs, or this machine surely has no
/// memory for a step.
pub fn open_dataset(pipeline: &Pipeline) -> Result<Splits, Error> {
    let splits = pipeline.dataset.open()?;
    for own in pipeline.monitors.iter().filter_map(|(_, monitor)| monitor.dataset()) {
        own.dataset().open()?;
    }
    let n_images = splits.train.len();
    if n_images < pipeline.batch {
        return Err(LoaderError::TooFewImages { n_images, batch: pipeline.batch }.into());
    }
    trainer::check_labels(pipeline, &splits)?;
    check_memory(pipeline, n_images)?;
    Ok(splits)
}
