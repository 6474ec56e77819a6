//! What the reader of an error can do about it, in words of the command line.
//!
//! Libraries say what they know in a `hint` of their own, which names no command and no flag. What has more to say here is
//! matched by its variant.

use std::error::Error;
use std::io;

use ::sweep::SweepError;
use loader::LoaderError;
use moco::data::DataError;
use moco::processes::ProcessesError;
use moco::recipe::RecipeError;
use moco::runs::RemoveError;
use moco::{
    ClassifierError, DeviceChoice, DeviceError, EmbedError, EvaluationError, LoadError, ReportError,
    RunError, TableError,
};
use pipeline::PipelineError;
use plugin_api::{ConfigError, DatasetError, RegistryError, UnreadableImage};
use run_store::checkpoint::CheckpointError;
use run_store::metrics::MetricsError;
use run_store::{NotWritten, RunFolderError, UnfinishedError};
use tensor_ops::OpError;
use train_core::engine::{EngineError, StateError};
use train_core::trainer::TrainError;

use crate::{missing_path, shell};

/// An error that a command may end with.
pub trait Hint: Error + Send + Sync + 'static {
    /// What the reader can do, without a stop; `None` if there is nothing, or if the message says it.
    fn hint(&self) -> Option<String>;
}

/// What the library says.
macro_rules! as_the_library_says {
    ($($error:ty),+ $(,)?) => {$(
        impl Hint for $error {
            fn hint(&self) -> Option<String> {
                self.hint().map(Into::into)
            }
        }
    )+};
}

as_the_library_says!(
    ConfigError,
    EmbedError,
    EngineError,
    LoaderError,
    MetricsError,
    OpError,
    UnfinishedError,
    weights::ReadError,
);

/// Errors that say it in their message.
macro_rules! nothing_to_add {
    ($($error:ty),+ $(,)?) => {$(
        impl Hint for $error {
            fn hint(&self) -> Option<String> {
                None
            }
        }
    )+};
}

nothing_to_add!(
    NotWritten,
    PipelineError,
    RegistryError,
    StateError,
    UnreadableImage,
    io::Error,
    serde_json::Error,
);

impl Hint for ProcessesError {
    fn hint(&self) -> Option<String> {
        Some(self.hint().into())
    }
}

impl Hint for DataError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { path } => Some(missing_path::hint(path)),
            Self::NoFile { .. } => Some("pack decoded pixels instead, with `--shorter N`".into()),
            Self::Loader(LoaderError::TooManyUnreadable { .. }) => Some(
                "check the files named above; if the rest is fine, allow a larger share with `--max-unreadable`".into(),
            ),
            error => error.hint(),
        }
    }
}

impl Hint for RecipeError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Batch { n_images, .. } => {
                format!(
                    "use `--batch` with at most {}, or leave it out and it is chosen",
                    (n_images / 4).max(2)
                )
            }
            error => error.hint(),
        })
    }
}

impl Hint for DatasetError {
    fn hint(&self) -> Option<String> {
        Some(self.hint.clone())
    }
}

impl Hint for RunFolderError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Moved { .. } => Some(
                "it tells where the images of the run have moved: remove it, and say again where they are, with `--data-root OLD=NEW`"
                    .into(),
            ),
            Self::NotEmpty { path } => Some(format!(
                "choose a new folder, or resume the run in this one: `--resume {}`",
                shell::path(path)
            )),
            error => error.hint(),
        }
    }
}

impl Hint for CheckpointError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Newest { previous: Some(path), .. } => Some(format!(
                "the one before it is intact; resume from there: `--resume {}`",
                shell::path(path)
            )),
            Self::Newest { previous: None, source } if source.is_damage() => {
                Some("no checkpoint of this run is usable; start again without `--resume`".into())
            }
            Self::Newest { previous: None, source } => Hint::hint(&**source),
            error => error.hint(),
        }
    }
}

impl Hint for DeviceError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unusable { .. } => {
                "check the driver with `nvidia-smi`, or build without `--features cuda`".into()
            }
            Self::NotBuilt { asked: DeviceChoice::Cpu, .. } => "build without `--features cuda`".into(),
            Self::NotBuilt { asked: DeviceChoice::Cuda(_), .. } => {
                "build with `--features cuda`, see the chapter on CUDA in docs/".into()
            }
            error => error.hint().into(),
        })
    }
}

impl Hint for TableError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoParquet { .. } => Some(
                "build with parquet, `cargo run --release --package xtask --features parquet -- embed ...`, or write `.npy` or `.csv`"
                    .into(),
            ),
            error => error.hint().map(Into::into),
        }
    }
}

impl Hint for RemoveError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Folder(error) => Hint::hint(error),
            error => error.hint(),
        }
    }
}

impl Hint for RunError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { path } => Some(missing_path::hint_for_run(path)),
            Self::PipelineFile { path } => Some(format!(
                "give a run folder such as `runs/NAME-001`; to resume the newest run of a pipeline, use \
                 `moco run {} --resume`",
                shell::path(path)
            )),
            Self::NoCheckpoint { path } => Some(format!(
                "a run writes one when it starts: `moco run --resume {0}` starts it, if it was never trained",
                shell::path(path)
            )),
            Self::NoBest { .. } => Some(
                "a run keeps one only if a monitor measures the metric in `checkpoint.best`, or for `knn_top1` `lidar` or `effective_rank`; omit `--best` to use the newest"
                    .into(),
            ),
            Self::Folder(error) => Hint::hint(error),
            Self::Checkpoint(error) => Hint::hint(error),
            error => error.hint(),
        }
    }
}

impl Hint for LoadError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Run(error) => Hint::hint(error),
            Self::Device(error) => Hint::hint(error),
            error => error.hint(),
        }
    }
}

impl Hint for ReportError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Run(error) => Hint::hint(error),
            Self::Folder(error) => Hint::hint(error),
            Self::Load(error) => Hint::hint(error),
            error => error.hint(),
        }
    }
}

impl Hint for ClassifierError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { path } => Some(missing_path::hint_for_run(path)),
            Self::None { .. } | Self::OfARun { .. } => Some(
                "train one with `moco linear` or `moco finetune`, which keep it in the folder of the evaluation".into(),
            ),
            Self::Load(error) => Hint::hint(error),
            error => error.hint(),
        }
    }
}

impl Hint for EvaluationError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Load(error) => Hint::hint(error),
            error => error.hint(),
        }
    }
}

impl Hint for TrainError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Checkpoint(error) => Hint::hint(error),
            Self::RunFolder(error) => Hint::hint(error),
            Self::ChangedImages { checkpoint, within_epoch, .. } => Some(match (checkpoint, within_epoch) {
                (_, None) => {
                    "give the run its images back, for the same result; or go on with the others: add \
                              `--accept-changed-data`"
                        .into()
                }
                (Some(path), Some(_)) => format!(
                    "give the run its images back, for the same result; or go on with the others from `{}`, between two \
                     epochs, with `--accept-changed-data`",
                    path.display()
                ),
                (None, Some(_)) => return self.hint(),
            }),
            error => error.hint(),
        }
    }
}

impl Hint for moco::Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Folder(error) => Hint::hint(error),
            Self::Run(error) => Hint::hint(error),
            Self::Load(error) => Hint::hint(error),
            Self::Train(error) => Hint::hint(error),
            Self::Edited { file, .. } => {
                let run = file.parent().unwrap_or(file).display();
                Some(format!(
                    "undo the changes, for the bits of the run as it was started; or go on with them in a new folder: \
                     `moco run --from {run} --set ...`"
                ))
            }
            error => error.hint(),
        }
    }
}

impl Hint for SweepError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Folder(error) => Hint::hint(error),
            Self::Checkpoint(error) => Hint::hint(error),
            Self::Train(error) => Hint::hint(error),
            error => error.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn what_the_command_line_adds_is_added_however_deep_the_error_lies() {
        let full = || RunFolderError::NotEmpty { path: "runs/a".into() };
        let hints = [
            Failure::from(full()),
            RunError::from(full()).into(),
            LoadError::from(RunError::from(full())).into(),
            EvaluationError::from(LoadError::from(RunError::from(full()))).into(),
            TrainError::from(full()).into(),
            moco::Error::from(TrainError::from(full())).into(),
            SweepError::from(TrainError::from(full())).into(),
        ]
        .map(|failure| failure.hint().unwrap());
        for hint in hints {
            assert_eq!(hint, "choose a new folder, or resume the run in this one: `--resume runs/a`");
        }
    }
}
