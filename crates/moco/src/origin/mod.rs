//! What a new run starts from: an earlier run, one of its checkpoints, or weights of another program.

mod error;
mod new_run;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline::{Moved, Pipeline, PipelineError, Site};
use plugin_api::Progress;
use run_store::RunFolder;
use run_store::checkpoint::{self, CheckpointFolder, Snapshot, Stored};
use train_core::trainer::{self, Reached};
use weights::Tensors;

pub use self::error::OriginError;
pub(crate) use self::new_run::NewRun;
use crate::classifier::KeptClassifier;
use crate::exchange::{Choice, ExchangeError, ForeignWeights, Resized, parts, positions};
use crate::{Error, OpenRun, Run, RunError, RunOptions, Which, device, run, together};

/// What a new run starts from.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = tempfile::tempdir()?;
/// # let options = moco::RunOptions { root: root.path().into(), ..moco::RunOptions::default() };
/// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny.ron");
/// # let mut run = moco::Run::create_with(moco::read_pipeline(file, &[])?, &options)?;
/// # run.train(&mut moco::Silent)?;
/// # let earlier = run.folder().path().to_owned();
/// use moco::{Changes, Origin, Silent};
///
/// let Origin::Checkpoint(checkpoint) = Origin::open(&earlier)? else { unreachable!("it is a run") }; // "runs/mocov2-001"
/// let epochs = checkpoint.reached().map_or(0, |reached| reached.epochs) + 1;
/// let more = Changes { overrides: vec![format!("epochs={epochs}")], ..Changes::default() };
/// let (mut run, _) = checkpoint.go_on(&more, &options)?;
/// assert!(run.resume(&mut Silent)?.n_steps > 0);
/// # Ok(())
/// # }
/// ```
pub enum Origin {
    /// A checkpoint of this program.
    Checkpoint(OwnCheckpoint),
    /// Weights of another program.
    Weights(Box<ForeignWeights>),
}

/// A checkpoint of this program, in its run or alone.
pub struct OwnCheckpoint {
    path: PathBuf,
    snapshot: Snapshot,
    /// The run that it is in.
    folder: Option<RunFolder>,
}

/// What has become of a module of a run that starts from a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleStart {
    /// The module.
    pub module: String,
    /// Its parameters that were made for images of another size, and from what: positions.
    pub resized: Vec<(String, Resized)>,
    /// Why it keeps its random initial values; `None` if it has those of the checkpoint.
    pub random: Option<String>,
}

/// What is another in a run that goes on in a new folder.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Values of the pipeline, for instance `epochs=400`.
    pub overrides: Vec<String>,
    /// Where the images are now, if they have moved.
    pub moved: Moved,
    /// Whether other images than the checkpoint has seen are taken, from the start of an epoch.
    pub accept_changed_images: bool,
}

/// A run that goes on in another folder, and what its learning rate does there.
#[derive(Clone, Debug, PartialEq)]
pub struct GoesOn {
    /// How far it has come.
    pub reached: Reached,
    /// Epochs it was to have.
    pub epochs_before: usize,
    /// Epochs it is to have now.
    pub epochs: usize,
    /// The learning rate of the next step: as it would have been, unless the run was at its end, and as it is now.
    pub learning_rate: [f64; 2],
}

impl Origin {
    /// Opens a run folder, whose newest checkpoint is taken; a checkpoint; or weights of another program.
    ///
    /// # Errors
    /// If it is none of them, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, OriginError> {
        Self::choose(path, &Choice::default())
    }

    /// As [`open`](Self::open); of a file of another program, `choice` says which of its weights are wanted.
    ///
    /// # Errors
    /// As [`open`](Self::open); also if nothing in the file is what the choice says.
    pub fn choose(path: &Path, choice: &Choice) -> Result<Self, OriginError> {
        let path = &crate::find_run(path);
        // The folder of an evaluation, which is no run.
        let classifier = path.join(KeptClassifier::FILE);
        if classifier.is_file() {
            return Self::choose(&classifier, choice);
        }
        if path.is_dir() || !path.exists() {
            let OpenRun { folder, checkpoint, snapshot } = OpenRun::open(path, Which::Latest)?;
            let folder = Some(folder);
            return Ok(Self::Checkpoint(OwnCheckpoint { path: checkpoint, snapshot, folder }));
        }
        match ForeignWeights::choose(path, choice) {
            Ok(weights) => Ok(Self::Weights(Box::new(weights))),
            Err(ExchangeError::OwnCheckpoint { .. }) => {
                let snapshot = checkpoint::read(path).map_err(RunError::from)?;
                let folder = RunFolder::open(path).ok();
                Ok(Self::Checkpoint(OwnCheckpoint { path: path.into(), snapshot, folder }))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl OwnCheckpoint {
    /// The checkpoint's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far it has come; `None` if it is no state of a run, as the classifier of an evaluation.
    pub fn reached(&self) -> Option<Reached> {
        Reached::of(&self.snapshot).ok()
    }

    /// Creates a run of `pipeline` at step 0 whose modules have the weights of this checkpoint's modules of the same names, the
    /// momentum encoder and the queue included. The optimizer starts anew. Also returns what has become of each module.
    ///
    /// # Errors
    /// If a backbone of the pipeline does not match, or the run folder cannot be created.
    pub fn start(
        &self,
        pipeline: Pipeline,
        backbone_only: bool,
        options: &RunOptions,
    ) -> Result<(Run, Vec<ModuleStart>), OriginError> {
        let pipeline = together::dealt(pipeline, &options.processes)?;
        let backbones = &pipeline.network.graph.backbones;
        let backbones: Vec<String> = backbones.iter().cloned().collect();
        let names = pipeline.network.modules.named().into_iter().map(|(name, _)| name.to_owned());
        let names: Vec<String> = names.collect();
        let (text, name, keep) = (pipeline.text.clone(), pipeline.name.clone(), pipeline.checkpoint.keep);
        let mut fitted = Fitted::of(&self.snapshot.tensors, &pipeline);
        let mut modules = Vec::new();
        let mut wrong = None;
        let fill = |fresh: &mut Snapshot| {
            let has_tensors = |module: &str, fresh: &Snapshot| {
                fresh.tensors.keys().any(|name| name.starts_with(&format!("query.{module}.")))
            };
            for module in names {
                if !has_tensors(&module, fresh) {
                    continue;
                }
                let is_backbone = backbones.contains(&module);
                let random = match backbone_only && !is_backbone {
                    true => Some("only the backbone is taken".to_owned()),
                    false => self.fill(&module, &fitted.tensors, fresh).err(),
                };
                if let (true, Some(mismatch)) = (is_backbone, &random) {
                    wrong.get_or_insert((module.clone(), mismatch.clone()));
                }
                let resized = fitted.resized.remove(&module).unwrap_or_default();
                modules.push(ModuleStart { module, resized, random });
            }
        };
        let snapshot = trainer::started_with(pipeline, &device().map_err(Error::from)?, fill)?;
        if let Some((module, mismatch)) = wrong {
            return Err(OriginError::Backbone { module, path: self.path.clone(), mismatch });
        }
        let after = self.reached().map(|reached| format!(", after {reached}")).unwrap_or_default();
        let origin = format!("weights of {}{after}", self.path.display());
        let new = NewRun { text: &text, name: &name, keep, moved: &[], origin: &origin };
        Ok((new.create(&snapshot, 0, options)?, modules))
    }

    /// Creates a run in a new folder that goes on with the state of this checkpoint: weights, queue, optimizer, position. It
    /// has the pipeline of the checkpoint with `changes`, whose schedule it follows from here on. The patience of early
    /// stopping starts anew.
    ///
    /// # Errors
    /// If nothing is left to do, a change is wrong or does not fit the state, the images are not there or are others, or the run
    /// folder cannot be created.
    pub fn go_on(&self, changes: &Changes, options: &RunOptions) -> Result<(Run, GoesOn), OriginError> {
        let text = self.snapshot.metadata.get("pipeline");
        let text = text.ok_or_else(|| OriginError::NoPipeline { path: self.path.clone() })?;
        let reached = self.reached().ok_or_else(|| OriginError::NoState { path: self.path.clone() })?;
        let origin = format!("the pipeline of `{}`", self.path.display());
        let device = device().map_err(Error::from)?;
        let folder = self.folder.clone().unwrap_or_else(|| RunFolder::of_another(""));
        let moved = run::moved(&folder, &changes.moved).map_err(Error::from)?;
        let site = || Site::of_processes(&device, Arc::clone(&options.processes));
        let before = Pipeline::parse_kept(&origin, text, &[], site()).map_err(PipelineError::from)?;
        let pipeline = Pipeline::parse_kept(&origin, text, &changes.overrides, site().with_moved(moved));
        let pipeline = together::dealt(pipeline.map_err(PipelineError::from)?, &options.processes)?;
        if reached.epochs >= pipeline.epochs {
            let (path, done) = (self.path.clone(), reached.epochs);
            return Err(OriginError::NothingLeft { path, done, epochs: pipeline.epochs });
        }
        if reached.steps > 0 && pipeline.batch != before.batch {
            let checkpoints = CheckpointFolder::new(folder.checkpoints(), 1);
            let checkpoint = trainer::latest_between_epochs(&checkpoints, reached.steps_done);
            return Err(OriginError::WithinEpoch { path: self.path.clone(), reached, checkpoint });
        }
        // Before there is a folder.
        let splits = crate::open_dataset(&pipeline)?;
        let accepted = changes.accept_changed_images;
        trainer::check_images(&pipeline, &splits, &self.snapshot, &folder, accepted)?;
        let goes_on = GoesOn {
            reached,
            epochs_before: before.epochs,
            epochs: pipeline.epochs,
            learning_rate: [&before, &pipeline].map(|pipeline| learning_rate(pipeline, reached)),
        };
        let moved = pipeline.moved.pairs();
        let (text, name, keep) = (pipeline.text.clone(), pipeline.name.clone(), pipeline.checkpoint.keep);
        let snapshot = trainer::continued(pipeline, &device, &self.snapshot)?;
        let origin = format!("state of {}, after {reached}", self.path.display());
        let new = NewRun { text: &text, name: &name, keep, moved: &moved, origin: &origin };
        let mut run = new.create(&snapshot, reached.steps_done, options)?;
        // The course up to here, for whoever draws it. Resuming leaves out what came after the checkpoint.
        if let Some(metrics) = self.folder.as_ref().map(RunFolder::metrics).filter(|path| path.is_file()) {
            let copied = std::fs::copy(&metrics, run.folder().metrics());
            copied.map_err(|source| Error::Copy { path: metrics, source })?;
        }
        if accepted {
            run.accept_changed_images();
        }
        Ok((run, goes_on))
    }

    /// Sets the tensors of `module` in `fresh` to those of this checkpoint, or says why not, and then sets none. Those that are
    /// in `fitted` are taken from there.
    fn fill(&self, module: &str, fitted: &Tensors, fresh: &mut Snapshot) -> Result<(), String> {
        let stored_as = |name: &str| fitted.get(name).or_else(|| self.snapshot.tensors.get(name));
        let mut found = Vec::new();
        for (side, other) in [("query", "query"), ("momentum", "query")] {
            let prefix = format!("{side}.{module}.");
            for (name, own) in fresh.tensors.iter().filter(|(name, _)| name.starts_with(&prefix)) {
                // A checkpoint without a momentum encoder starts it as a new run does: as the query encoder.
                let part = &name[prefix.len()..];
                let stored = stored_as(name).or_else(|| stored_as(&format!("{other}.{module}.{part}")));
                let stored = stored.ok_or_else(|| match self.has(module) {
                    true => format!("it has no `{name}`"),
                    false => "it has no such module".to_owned(),
                })?;
                if !same_shape(own, stored) {
                    return Err(format!("`{name}` is {}, expected {}", shown(stored), shown(own)));
                }
                found.push((name.clone(), stored.clone()));
            }
        }
        let surplus =
            self.snapshot.tensors.keys().find(|name| {
                name.starts_with(&format!("query.{module}.")) && !fresh.tensors.contains_key(*name)
            });
        if let Some(name) = surplus {
            return Err(format!("`{name}` is unexpected"));
        }
        fresh.tensors.extend(found);
        Ok(())
    }

    fn has(&self, module: &str) -> bool {
        let prefix = format!("query.{module}.");
        self.snapshot.tensors.keys().any(|name| name.starts_with(&prefix))
    }
}

/// Weights of backbones that were built for images of another size.
#[derive(Default)]
struct Fitted {
    /// Under the names of a checkpoint.
    tensors: Tensors,
    /// What was done, by module, to those of the query encoder.
    resized: BTreeMap<String, Vec<(String, Resized)>>,
}

impl Fitted {
    /// Those of `tensors`, a checkpoint's, that the backbones of `pipeline` have in another size.
    fn of(tensors: &Tensors, pipeline: &Pipeline) -> Self {
        let mut fitted = Self::default();
        for module in pipeline.network.graph.backbones.iter() {
            let Some(backbone) = parts::backbone(pipeline, module) else { continue };
            for side in ["momentum", "query"] {
                let prefix = format!("{side}.{module}.");
                let mut others = positions::others(backbone, tensors, &prefix);
                let resized = positions::resize(backbone, &mut others, &prefix, None);
                fitted.tensors.extend(others);
                fitted.resized.insert(module.clone(), resized);
            }
        }
        fitted
    }
}

/// The learning rate of the next step of `pipeline` after `reached`; that of its end, if it was there.
fn learning_rate(pipeline: &Pipeline, reached: Reached) -> f64 {
    // The length of an epoch is not known here. A schedule by steps differs by less than an epoch's change.
    let epoch = reached.epochs.min(pipeline.epochs);
    let at = Progress { epoch, step: 0, steps_per_epoch: 1, epochs: pipeline.epochs };
    pipeline.learning_rate.scaled(pipeline.batch) * pipeline.schedule.factor(at)
}

fn same_shape(a: &Stored, b: &Stored) -> bool {
    match (a, b) {
        (Stored::F32 { shape: a, .. }, Stored::F32 { shape: b, .. }) => a == b,
        (Stored::U64(a), Stored::U64(b)) => a.len() == b.len(),
        _ => false,
    }
}

fn shown(stored: &Stored) -> String {
    match stored {
        Stored::F32 { shape, .. } => format!("{shape:?}"),
        Stored::U64(_) => "a count".into(),
    }
}

impl fmt::Display for GoesOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reached, epochs_before, epochs, learning_rate: [before, now] } = self;
        write!(f, "epoch {} of {epochs}", reached.epochs + 1)?;
        match reached.steps {
            0 => {}
            1 => f.write_str(" after its first step")?,
            n => write!(f, " after {n} of its steps")?,
        }
        if epochs != epochs_before {
            write!(f, " instead of {epochs_before}")?;
        }
        write!(f, ", learning rate {now:.3e}")?;
        if before != now {
            write!(f, " instead of {before:.3e}")?;
        }
        Ok(())
    }
}
