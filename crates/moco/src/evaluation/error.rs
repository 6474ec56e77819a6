//! Why an encoder cannot be measured.

use evaluate::KnnError;
use evaluate::linear::ProbeError;
use loader::LoaderError;
use plugin_api::{ConfigError, DatasetError};
use tensor_ops::OpError;
use train_core::engine::EngineError;
use train_core::features::FeaturesError;

use crate::LoadError;

/// An encoder that cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// There is no encoder.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The dataset is not there.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Images that have no labels are to be told apart.
    #[error("{which} this dataset, {dataset}, have no labels")]
    NoLabels {
        /// Which images: `the test images of`.
        which: &'static str,
        /// The dataset, as it describes itself.
        dataset: String,
    },
    /// The dataset lacks a part.
    #[error("this dataset has no {which} images")]
    NoSplit {
        /// `training` or `test`.
        which: &'static str,
    },
    /// The pipeline has no such view.
    #[error("the run's pipeline has no view `{view}`")]
    NoTrainView {
        /// What was asked for.
        view: String,
        /// The views that there are.
        known: Vec<String>,
    },
    /// The view that is trained on gives images of another size than the one that is tested.
    #[error("the view `{view}` is {} by {} pixels, and `{tested}` is {} by {}", size.0, size.1, tested_size.0, tested_size.1)]
    ViewSizes {
        /// The view to train on.
        view: String,
        /// Its `(H, W)`.
        size: (usize, usize),
        /// The view to test on.
        tested: String,
        /// Its `(H, W)`.
        tested_size: (usize, usize),
    },
    /// The published probe trains on square crops.
    #[error("the view `{view}` is {} by {} pixels, and the published probe trains on square crops", size.0, size.1)]
    NotSquare {
        /// The view.
        view: String,
        /// Its `(H, W)`.
        size: (usize, usize),
    },
    /// A part of the probe cannot be built.
    #[error("the probe's {what} cannot be built: {source}")]
    Config {
        /// Which part.
        what: &'static str,
        /// Why.
        source: ConfigError,
    },
    /// Only what the backbone gives can be fine-tuned.
    #[error("the head is not fine-tuned")]
    HeadFineTuned,
    /// Neighbors cannot vote.
    #[error("neighbors cannot vote: {0}")]
    Knn(#[from] KnnError),
    /// No classifier can be trained.
    #[error("no classifier can be trained: {0}")]
    Probe(#[from] ProbeError),
    /// Images cannot be loaded.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The encoder refuses the images.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The caller wanted no more.
    #[error("stopped after {n_images} images")]
    Stopped {
        /// Images that had been looked at.
        n_images: usize,
    },
    /// Measuring has changed the encoder.
    #[error("measuring has changed `{tensor}` of the encoder: its metrics are not to be used")]
    Changed {
        /// The first tensor that differs from the checkpoint.
        tensor: String,
    },
}

impl From<FeaturesError> for EvaluationError {
    fn from(error: FeaturesError) -> Self {
        match error {
            FeaturesError::Loader(error) => Self::Loader(error),
            FeaturesError::Engine(error) => Self::Engine(error),
            FeaturesError::Stopped { n_images } => Self::Stopped { n_images },
        }
    }
}

impl From<OpError> for EvaluationError {
    fn from(error: OpError) -> Self {
        Self::Engine(error.into())
    }
}

impl EvaluationError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        const WITH_LABELS: &str = "measure on a dataset with labels, such as class folders";
        const DIVERGED: &str = "training has diverged: take an earlier checkpoint";
        match self {
            Self::Load(error) => error.hint(),
            Self::Dataset(error) => Some(error.hint.clone()),
            Self::NoLabels { .. } | Self::Knn(KnnError::NoLabels) => Some(WITH_LABELS.into()),
            Self::NoSplit { .. } => Some("give it both parts, as its plugin describes".into()),
            Self::NoTrainView { known, .. } => Some(format!("choose one of: {}", known.join(", "))),
            Self::ViewSizes { .. } => Some("train on a view of the size that is tested".into()),
            Self::NotSquare { .. } => Some("train on a random view of the pipeline".into()),
            Self::Config { source, .. } => source.hint().map(str::to_owned),
            Self::HeadFineTuned => Some("take the backbone's features".into()),
            Self::Knn(KnnError::NotFinite) | Self::Probe(ProbeError::NotFinite) => Some(DIVERGED.into()),
            Self::Probe(ProbeError::NoLabels | ProbeError::Classes(_)) => {
                Some("measure on a dataset with labels of several classes, such as class folders".into())
            }
            Self::Loader(error) => error.hint().map(str::to_owned),
            Self::Engine(error) => error.hint(),
            Self::Changed { .. } => {
                Some("this is a fault of the program or of a plugin: please report it".into())
            }
            Self::Knn(_) | Self::Probe(_) | Self::Stopped { .. } => None,
        }
    }
}
