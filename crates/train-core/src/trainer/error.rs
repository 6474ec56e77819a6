//! Errors that end a run.

use std::path::PathBuf;

use tensor_ops::{OpError, in_gib};

use super::{ChangedImages, Fit, ObserverError, ShortOfSpace};
use crate::engine::{EngineError, NonFinite, StateError};
use crate::features::FeaturesError;
use loader::LoaderError;
use plugin_api::{DatasetError, MonitorError};
use processes::ProcessesError;
use run_store::checkpoint::CheckpointError;
use run_store::metrics::MetricsError;
use run_store::{GoingOnError, RunFolderError};

/// What can end a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The dataset is missing.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Images cannot be loaded.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// A step failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A monitor failed.
    #[error("monitor `{monitor}`: {source}")]
    Monitor {
        /// Its name.
        monitor: String,
        /// Why.
        source: MonitorError,
    },
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint belongs to another network.
    #[error("this checkpoint does not match the pipeline: {0}")]
    State(#[from] StateError),
    /// A checkpoint of another program version.
    #[error("the checkpoint's metadata has no `{0}`")]
    Metadata(&'static str),
    /// The run folder cannot be used.
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
    /// The metrics cannot be written.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// An observer of the run failed.
    #[error(transparent)]
    Observer(ObserverError),
    /// The loader ended before the last epoch: a bug in this program.
    #[error("the data loader ended before the last epoch")]
    TooFewBatches,
    /// A loss needs classes, and not every image has one.
    #[error(
        "the loss `{loss}` needs a class for every image, and {without} of {n_images} training images have none"
    )]
    NoLabels {
        /// The module's name.
        loss: String,
        /// Images without a class.
        without: usize,
        /// All images.
        n_images: usize,
    },
    /// An image has a class that its dataset does not name.
    #[error(
        "the class of {image} is {label}, and the dataset names {n_classes} classes, which are numbered from 0"
    )]
    Label {
        /// How the dataset calls the image.
        image: String,
        /// Its class.
        label: u32,
        /// How many there are.
        n_classes: usize,
    },
    /// The schedule gives what no learning rate can be multiplied with.
    #[error(
        "the schedule gives the factor {factor} at epoch {epoch}, step {step}, and a factor is a number of 0 or more"
    )]
    Schedule {
        /// The factor.
        factor: f64,
        /// From 1, as shown.
        epoch: usize,
        /// From 1, as shown.
        step: usize,
    },
    /// A value is not finite.
    #[error("training has diverged at epoch {epoch}, step {step}: {what} is not finite")]
    NotFinite {
        /// The first value that is not finite.
        what: NonFinite,
        /// From 1, as shown.
        epoch: usize,
        /// From 1, as shown.
        step: usize,
        /// The last checkpoint, if there is one. Everything in it is finite.
        checkpoint: Option<PathBuf>,
        /// Whether the run goes back to it by itself, as often as it may.
        rolls_back: bool,
    },
    /// An exchange with the other processes failed.
    #[error("training has stopped at epoch {epoch}, step {step}: {source}")]
    Exchange {
        /// Why.
        source: ProcessesError,
        /// From 1, as shown.
        epoch: usize,
        /// From 1, as shown: the step that was not finished.
        step: usize,
    },
    /// Processes do not train the same.
    #[error("the processes have different {what}: process 0 has {first}, process {rank} has {other}")]
    Apart {
        /// What differs.
        what: String,
        /// The first process that differs from process 0.
        rank: usize,
        /// What process 0 has.
        first: String,
        /// What the other has.
        other: String,
    },
    /// The run folder is no longer where it was.
    #[error("`{}` is no longer there: it was removed or renamed while the run trained", folder.display())]
    FolderGone {
        /// Where it was.
        folder: PathBuf,
    },
    /// The disk has no room for a checkpoint.
    #[error("{0}")]
    NoSpace(ShortOfSpace),
    /// A run would go on with other images than its checkpoint has seen.
    #[error("the images have changed since the checkpoint was written: {images}{}", within(*within_epoch, *accepted))]
    ChangedImages {
        /// What has changed.
        images: ChangedImages,
        /// Whether other images are accepted.
        accepted: bool,
        /// The epoch, from 1, in whose middle the checkpoint was written.
        within_epoch: Option<usize>,
        /// The newest checkpoint between two epochs.
        checkpoint: Option<PathBuf>,
    },
    /// The device has too little memory for a step.
    #[error(
        "the batch of {batch} images{} needs more than the {} of the device{}",
        parts(*batch, *at_once), in_gib(memory.total), others(*memory)
    )]
    OutOfMemory {
        /// The batch size.
        batch: usize,
        /// Images that go through the backbone at once.
        at_once: usize,
        /// The memory that it had.
        memory: DeviceMemory,
        /// What was found to fit.
        fit: Fit,
    },
}

impl From<GoingOnError> for TrainError {
    fn from(error: GoingOnError) -> Self {
        match error {
            GoingOnError::Folder(error) => Self::RunFolder(error),
            GoingOnError::Checkpoint(error) => Self::Checkpoint(error),
            GoingOnError::Metrics(error) => Self::Metrics(error),
            error => Self::Observer(error.into()),
        }
    }
}

/// The memory of a device when it was too small, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Memory that this program used.
    pub own: u64,
    /// Free memory.
    pub free: u64,
    /// Total memory.
    pub total: u64,
}

impl DeviceMemory {
    /// Memory that other programs use, if it is significant: a driver and its libraries always use a little.
    fn of_others(self) -> Option<u64> {
        Some(self.total.saturating_sub(self.own + self.free)).filter(|others| *others > self.total / 8)
    }
}

fn within(epoch: Option<usize>, accepted: bool) -> String {
    match epoch {
        Some(epoch) if accepted => {
            format!(
                "; a run goes on with others only from the start of an epoch, and this is within epoch {epoch}"
            )
        }
        _ => String::new(),
    }
}

fn parts(batch: usize, at_once: usize) -> String {
    if at_once < batch { format!(", {at_once} at a time,") } else { String::new() }
}

fn others(memory: DeviceMemory) -> String {
    let others =
        memory.of_others().map(|others| format!(", of which other programs have {}", in_gib(others)));
    others.unwrap_or_default()
}

impl TrainError {
    /// `self`, for a run whose last good checkpoint is `checkpoint`.
    pub(super) fn with_last_good(mut self, checkpoint: Option<PathBuf>) -> Self {
        if let Self::NotFinite { checkpoint: told, .. } = &mut self {
            *told = checkpoint;
        }
        self
    }

    /// `self`, or where training has stopped, if an exchange with the other processes failed there. `epoch` and `step` are from
    /// 0.
    pub(super) fn at(self, epoch: usize, step: usize) -> Self {
        match self {
            Self::Engine(
                EngineError::Processes(source)
                | EngineError::Op(OpError::Processes(source))
                | EngineError::Step { source: OpError::Processes(source), .. },
            ) => Self::Exchange { source, epoch: epoch + 1, step: step + 1 },
            other => other,
        }
    }

    /// The device's memory, if `self` is a step that ran out of it.
    pub(super) fn no_room(&self) -> Option<DeviceMemory> {
        let Self::Engine(EngineError::Op(source) | EngineError::Step { source, .. }) = self else {
            return None;
        };
        match *source {
            OpError::OutOfMemory { own, free, total } => Some(DeviceMemory { own, free, total }),
            _ => None,
        }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dataset(error) => Some(error.hint.clone()),
            Self::Loader(error) => error.hint().map(str::to_owned),
            Self::State(_) => {
                Some("resume with the pipeline that wrote it: the run folder's `pipeline.ron`".into())
            }
            Self::NoLabels { .. } => Some(
                "use a dataset with classes, such as a folder of class folders, or a loss that needs none".into(),
            ),
            Self::Label { .. } => Some(
                "this is a fault of the dataset's plugin: its `class_names` must name every class that its `label` gives".into(),
            ),
            Self::Schedule { .. } => Some(
                "this is a fault of the plugin that the pipeline's `schedule` names: see `Schedule::factor`".into(),
            ),
            Self::NotFinite { checkpoint, rolls_back, .. } => Some(match checkpoint {
                Some(checkpoint) if *rolls_back => format!(
                    "the last good checkpoint is `{}`, from which this run went on as often as it may; a lower \
                     `learning_rate.base` or a longer warm-up avoids the problem",
                    checkpoint.display()
                ),
                Some(checkpoint) => format!(
                    "the last good checkpoint is `{}`; `stability: (on_nonfinite: RollBack)` in the pipeline resumes from \
                     it automatically, and a lower `learning_rate.base` or a longer warm-up avoids the problem",
                    checkpoint.display()
                ),
                None => "lower `learning_rate.base`, or use a longer warm-up".into(),
            }),
            Self::Checkpoint(error) => error.hint(),
            Self::RunFolder(error) => error.hint(),
            Self::Metrics(error) => error.hint().map(str::to_owned),
            Self::FolderGone { .. } => {
                Some("if it was renamed, resume it under its new name; its last checkpoint is good".into())
            }
            Self::NoSpace(_) => Some("make room, or put the run elsewhere".into()),
            Self::Metadata(_) => Some("it was written by another version of this program".into()),
            Self::OutOfMemory { memory, fit, .. } => Some(fit.hint(memory.of_others().is_some())),
            Self::Apart { .. } => Some(
                "start every process with the same program, pipeline and images; `MOCO_KERNELS` chooses kernels that all \
                 machines have"
                    .into(),
            ),
            Self::ChangedImages { checkpoint: Some(path), within_epoch: Some(_), .. } => Some(format!(
                "give the run its images back, for the same result; or resume from `{}`, between two epochs, and accept \
                 the others",
                path.display()
            )),
            Self::ChangedImages { within_epoch: Some(_), .. } => {
                Some("give the run its images back; no checkpoint between two epochs is left".into())
            }
            Self::ChangedImages { .. } => {
                Some("give the run its images back, for the same result; or accept the others".into())
            }
            Self::Engine(error) => error.hint(),
            Self::Exchange { source, .. } => Some(source.hint().to_owned()),
            Self::Monitor { source: MonitorError::NotFinite, .. } => {
                Some("the weights that the run starts from are of no use".into())
            }
            Self::Monitor { source: MonitorError::Metric { .. }, .. } => Some(
                "this is a fault of the monitor's plugin: `measure` must give metrics that `metrics` declares, each once and finite, \
                 and named like nothing else in `metrics.jsonl`"
                    .into(),
            ),
            Self::Monitor { source: MonitorError::Features(error), .. } => {
                error.downcast_ref::<FeaturesError>().and_then(FeaturesError::hint)
            }
            Self::Monitor { .. } | Self::Observer(_) | Self::TooFewBatches => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_exchange_that_fails_names_its_step_wherever_it_was() {
        let cause = ProcessesError::TimedOut { after: Duration::from_secs(5) };
        let in_graph = EngineError::Step { step: "q".into(), source: OpError::Processes(cause.clone()) };
        for failed in [EngineError::Processes(cause.clone()), EngineError::Op(cause.clone().into()), in_graph]
        {
            let error = TrainError::from(failed).at(1, 6);
            assert_eq!(
                error.to_string(),
                "training has stopped at epoch 2, step 7: the other processes have not answered for 5 s"
            );
            assert_eq!(error.hint().as_deref(), Some(cause.hint()));
        }
        let other = TrainError::TooFewBatches.at(1, 6);
        assert!(matches!(other, TrainError::TooFewBatches), "{other}");
    }

    #[test]
    fn a_monitor_that_fails_is_named_and_keeps_the_hint_of_its_cause() {
        let cause = FeaturesError::from(LoaderError::NoneReadable { n_images: 3 });
        let source = MonitorError::Features(cause.into());
        let error = TrainError::Monitor { monitor: "knn".into(), source };
        assert!(error.to_string().starts_with("monitor `knn`: none of the 3 images"), "{error}");
        assert_eq!(error.hint(), LoaderError::NoneReadable { n_images: 3 }.hint().map(str::to_owned));
    }
}
