//! Errors of sweeps.

use std::io;
use std::path::PathBuf;

use loader::LoaderError;
use pipeline::PipelineError;
use plugin_api::DatasetError;
use run_store::RunFolderError;
use run_store::checkpoint::CheckpointError;
use train_core::trainer::TrainError;

/// A sweep that cannot be created, or one of its runs that cannot be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// An axis is not written as `PATH=VALUE,VALUE`.
    #[error("`{axis}`: {what}")]
    Axis {
        /// The axis as it was written.
        axis: String,
        /// What is wrong with it.
        what: String,
    },
    /// A path is varied twice.
    #[error("`{path}` is varied twice")]
    Twice {
        /// The path.
        path: String,
    },
    /// The seed cannot be an axis.
    #[error("`seed` cannot be varied: runs that differ only in the seed are one row of the table")]
    SeedAxis,
    /// Too many runs.
    #[error("this sweep has more than {most} runs")]
    TooMany {
        /// The largest allowed number.
        most: usize,
    },
    /// A combination of values cannot be trained.
    #[error("the combination {combination} cannot be trained")]
    Combination {
        /// Its values, as `path=value`.
        combination: String,
        /// Why.
        source: Box<SweepError>,
    },
    /// The path does not exist.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The folder is not a sweep.
    #[error("`{}` is not a sweep folder: it has no `{state}`", path.display())]
    NotASweep {
        /// The folder.
        path: PathBuf,
        /// The missing file.
        state: &'static str,
        /// Whether it is a run folder.
        is_run: bool,
    },
    /// There is no sweep to resume.
    #[error("there is no sweep{} in `{}`", of(name), root.display())]
    None {
        /// The folder that was searched.
        root: PathBuf,
        /// The pipeline, if one was given.
        name: Option<String>,
    },
    /// The sweep's file is damaged, or of another version.
    #[error("`{}` is invalid: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: serde_json::Error,
    },
    /// The sweep in the folder differs from the requested one.
    #[error("`{}` was started with another pipeline or with other arguments", path.display())]
    Other {
        /// The folder of the existing sweep.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("`{}` cannot be {action}: {source}", path.display())]
    Io {
        /// `read` or `written`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// The program or a plugin panicked.
    #[error("the program panicked, which is a bug")]
    Panicked,
    /// A pipeline cannot be used.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A dataset is missing.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// There are too few images.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// A folder cannot be used.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// A checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Training ended early.
    #[error(transparent)]
    Train(#[from] TrainError),
}

fn of(name: &Option<String>) -> String {
    name.as_ref().map(|name| format!(" of the pipeline `{name}`")).unwrap_or_default()
}

impl SweepError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Axis { .. } => "write `PATH=VALUE,VALUE`, for instance `data.batch=64,128`".into(),
            Self::Twice { path } => format!("write all its values in one list: `{path}=VALUE,VALUE`"),
            Self::SeedAxis => "use more seeds".into(),
            Self::TooMany { .. } => "vary fewer values at once".into(),
            Self::Combination { .. } => "no run was started; omit this value, or change the pipeline".into(),
            Self::NotASweep { is_run: true, .. } => "this is a run".into(),
            Self::NotASweep { .. } => "give a folder that a sweep has written".into(),
            Self::None { .. } => "start one, or give its folder".into(),
            Self::Damaged { .. } => {
                "it may have been written by another version of this program, or changed by hand".into()
            }
            Self::Other { .. } => "resume it with its original arguments, or start a new one".into(),
            Self::Panicked => "the message above shows where".into(),
            Self::Dataset(error) => error.hint.clone(),
            Self::Loader(error) => return error.hint().map(str::to_owned),
            Self::Folder(error) => return error.hint(),
            Self::Checkpoint(error) => return error.hint(),
            Self::Train(error) => return error.hint(),
            Self::Missing { .. } | Self::Io { .. } | Self::Pipeline(_) => return None,
        })
    }
}
