//! Why there is no encoder, or there are no features.

use std::path::PathBuf;

use loader::LoaderError;
use pipeline::PipelineError;
use plugin_api::{DatasetError, RegistryError, UnreadableImage};
use run_store::RunFolderError;
use tensor_ops::OpError;
use train_core::engine::{EngineError, StateError};
use train_core::features::FeaturesError;

use crate::{DeviceError, RunError};

/// An encoder that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such run, or no checkpoint that can be used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run's pipeline cannot be used.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The checkpoint is of another network.
    #[error("`{}` does not fit the run's pipeline: {source}", path.display())]
    State {
        /// The checkpoint.
        path: PathBuf,
        /// The first tensor that does not fit.
        source: StateError,
    },
    /// The view that was asked for is not there.
    #[error("the run's pipeline has no view `{view}`")]
    NoView {
        /// What was asked for.
        view: String,
        /// The views that there are.
        known: Vec<String>,
    },
    /// The momentum encoder was asked for, and the features pass through a module that has none.
    #[error(
        "these features have no momentum encoder: no key of the run's pipeline passes through all of their modules"
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
    /// The system gives no threads.
    #[error("the threads cannot be started: {reason}")]
    Threads {
        /// What the system said.
        reason: String,
    },
}

impl LoadError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Run(error) => error.hint(),
            Self::State { .. } => Some("give a checkpoint that this run has written".into()),
            Self::NoView { known, .. } => Some(format!("choose one of: {}", known.join(", "))),
            Self::NoMomentum => Some("take the query encoder".into()),
            Self::Device(error) => Some(error.hint().into()),
            Self::Kernels(_) => Some("take one of these, or unset the variable, for the fastest".into()),
            Self::Threads { .. } => Some("ask for fewer".into()),
            Self::Pipeline(_) | Self::Registry(_) => None,
        }
    }
}

/// Features that cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// An image cannot be decoded, so there would be no row for it.
    #[error("{image}")]
    Unreadable {
        /// The first such image.
        image: UnreadableImage,
    },
    /// Images cannot be loaded.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The encoder refuses the images.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The caller wanted no more.
    #[error("stopped after {n_images} images")]
    Stopped {
        /// Images that had been embedded.
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
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable { .. } => Some("leave the image out"),
            Self::Loader(error) => error.hint(),
            Self::Engine(_) | Self::Stopped { .. } => None,
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
    /// The dataset is not there.
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
    /// The process, or the device, cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Training has ended early.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Train(#[from] train_core::trainer::TrainError),
    /// The run was started before.
    #[error("the run in `{}` was started before", path.display())]
    Started {
        /// Its folder.
        path: PathBuf,
    },
    /// The run was stopped.
    #[error("the run was stopped; its checkpoint is `{}`", checkpoint.display())]
    Stopped {
        /// Where to resume from.
        checkpoint: PathBuf,
    },
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
            Self::Pipeline(_) => None,
            Self::Dataset(error) => Some(error.hint.clone()),
            Self::Loader(error) => error.hint().map(str::to_owned),
            Self::Folder(error) => error.hint(),
            Self::Run(error) => error.hint(),
            Self::Load(error) => error.hint(),
            #[cfg(feature = "train")]
            Self::Train(error) => error.hint(),
            Self::Started { .. } => Some("resume it, or start a new one".into()),
            Self::Stopped { .. } => Some("resume it".into()),
        }
    }
}
