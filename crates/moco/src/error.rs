//! Errors of encoders and runs.

use std::path::PathBuf;

use loader::LoaderError;
use pipeline::{Difference, PipelineError};
use plugin_api::{ConfigError, DatasetError, RegistryError, UnreadableImage, counted};
use processes::ProcessesError;
use run_store::RunFolderError;
use tensor_ops::OpError;
use train_core::engine::{EngineError, StateError};
use train_core::features::FeaturesError;

use crate::{DeviceError, RunError};

/// An encoder that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such run, or no usable checkpoint.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run's pipeline cannot be used.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The checkpoint belongs to another network.
    #[error("`{}` does not match the run's pipeline: {source}", path.display())]
    State {
        /// The checkpoint.
        path: PathBuf,
        /// The first tensor that does not match.
        source: StateError,
    },
    /// The view does not exist.
    #[error("the run's pipeline has no view `{view}`")]
    NoView {
        /// The requested view.
        view: String,
        /// The existing views.
        known: Vec<String>,
    },
    /// The encoder cannot take images of the view's size.
    #[error(
        "the view `{view}` gives images of {} by {} pixels, and the encoder was trained on {} by {}: {source}",
        size.0, size.1, trained_size.0, trained_size.1
    )]
    ViewSize {
        /// The view.
        view: String,
        /// Its `(H, W)`.
        size: (usize, usize),
        /// `(H, W)` of the view that was trained on.
        trained_size: (usize, usize),
        /// Why the backbone does not take them.
        source: Box<ConfigError>,
    },
    /// The momentum encoder was requested, but the features come from a module that has no momentum copy.
    #[error(
        "the momentum encoder has no such features: no key of the run's pipeline passes through all of these modules"
    )]
    NoMomentum,
    /// The GPU cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Two plugins have one name.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The environment asks for kernels that this machine does not have.
    #[error(transparent)]
    Kernels(OpError),
    /// The system could not start threads.
    #[error("the threads cannot be started: {source}")]
    Threads {
        /// The system's message.
        source: rayon::ThreadPoolBuildError,
    },
}

impl LoadError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Run(error) => error.hint(),
            Self::State { .. } => Some("use a checkpoint of this run".into()),
            Self::ViewSize { source, .. } => source.hint().map(str::to_owned),
            Self::NoView { known, .. } => Some(format!("choose one of: {}", known.join(", "))),
            Self::NoMomentum => Some("use the query encoder".into()),
            Self::Device(error) => Some(error.hint().into()),
            Self::Kernels(_) => Some("choose one of these, or unset the variable to use the fastest".into()),
            Self::Threads { .. } => Some("use fewer".into()),
            Self::Pipeline(_) | Self::Registry(_) => None,
        }
    }
}

/// Features that cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// An image cannot be decoded, so it would have no row.
    #[error("{image}")]
    Unreadable {
        /// The first such image.
        image: UnreadableImage,
    },
    /// Images cannot be loaded.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The encoder rejects the images.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The backbone has no maps of where it looks.
    #[error("this backbone does not say where it looks")]
    NothingToShow,
    /// The caller stopped the computation.
    #[error("stopped after {}", counted(*n_images, "image"))]
    Stopped {
        /// Images that were done.
        n_images: usize,
    },
}

impl From<FeaturesError> for EmbedError {
    fn from(error: FeaturesError) -> Self {
        match error {
            FeaturesError::Loader(error) => Self::Loader(error),
            FeaturesError::Engine(error) => Self::Engine(error),
            FeaturesError::Stopped { n_images } => Self::Stopped { n_images },
        }
    }
}

impl EmbedError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => Some("remove the image".into()),
            Self::Loader(error) => error.hint().map(str::to_owned),
            Self::Engine(error) => error.hint(),
            Self::NothingToShow => Some("its plugin would have to implement `Backbone::attention`".into()),
            Self::Stopped { .. } => None,
        }
    }
}

/// What can go wrong with a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pipeline cannot be used.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The dataset is missing.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// There are too few images.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The run's folder cannot be used.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// The run cannot be opened.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The environment, or the device, cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Training ended early.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Train(#[from] train_core::trainer::TrainError),
    /// The run has already started.
    #[error("the run in `{}` has already started", path.display())]
    Started {
        /// The run folder.
        path: PathBuf,
    },
    /// This machine has no memory for a step.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Memory(#[from] crate::estimate::MemoryShort),
    /// The pipeline in the run's folder is another than the one that its checkpoint was written with.
    #[error("`{}` is not the pipeline that the checkpoint was written with: {}", file.display(), told(edits))]
    Edited {
        /// The pipeline's file.
        file: PathBuf,
        /// What was there, and what is there now.
        edits: Vec<Difference>,
    },
    /// A file of an earlier run cannot be copied.
    #[error("`{}` cannot be copied: {source}", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A batch does not come out even over the processes.
    #[error("a batch of {batch} images cannot be dealt to {n_processes} processes")]
    Undealt {
        /// Images in a batch.
        batch: usize,
        /// Processes that train together.
        n_processes: usize,
    },
    /// An exchange with other processes failed.
    #[error(transparent)]
    Processes(#[from] ProcessesError),
    /// The run was stopped.
    #[error("the run was stopped at the checkpoint `{}`", checkpoint.display())]
    Stopped {
        /// The checkpoint to resume from.
        checkpoint: PathBuf,
    },
}

/// The first few changes: `` `seed` was 0 and is 7``.
fn told(edits: &[Difference]) -> String {
    const MOST: usize = 3;
    let value = |value: Option<&Option<String>>| match value {
        Some(Some(value)) => value.clone(),
        _ => "not there".into(),
    };
    let edit = |Difference { path, values }: &Difference| {
        format!("`{path}` was {} and is {}", value(values.first()), value(values.get(1)))
    };
    let mut told: Vec<String> = edits.iter().take(MOST).map(edit).collect();
    if edits.len() > MOST {
        told.push(format!("and {} more", edits.len() - MOST));
    }
    told.join(", ")
}

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Self {
        Self::Load(error.into())
    }
}

impl Error {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Pipeline(_) | Self::Copy { .. } => None,
            Self::Dataset(error) => Some(error.hint.clone()),
            Self::Loader(error) => error.hint().map(str::to_owned),
            Self::Folder(error) => error.hint(),
            Self::Run(error) => error.hint(),
            Self::Load(error) => error.hint(),
            #[cfg(feature = "train")]
            Self::Train(error) => error.hint(),
            #[cfg(feature = "train")]
            Self::Memory(error) => Some(error.hint()),
            Self::Undealt { n_processes, .. } => {
                Some(format!("make `data.batch` a multiple of {n_processes}, or start fewer processes"))
            }
            Self::Processes(error) => Some(error.hint().to_owned()),
            Self::Edited { .. } => Some(
                "undo the changes, for the bits of the run as it was started; or go on with them in a new folder".into(),
            ),
            Self::Started { .. } => Some("resume it, or start a new one".into()),
            Self::Stopped { .. } => Some("resume it".into()),
        }
    }
}
