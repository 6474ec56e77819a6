//! Errors of evaluations.

use evaluate::KnnError;
use evaluate::linear::ProbeError;
use loader::LoaderError;
use plugin_api::{ConfigError, DatasetError, counted};
use run_store::UnfinishedError;
use tensor_ops::OpError;
use train_core::engine::{EngineError, StateError};
use train_core::features::FeaturesError;

use crate::LoadError;
use crate::data::DataError;

/// An encoder that cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// The encoder cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The dataset is missing.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The dataset that was named in place of the run's cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The images have other channels than the encoder takes.
    #[error("the encoder takes images of {takes} channels, and those of this dataset, {dataset}, have {has}")]
    Channels {
        /// The dataset, as it describes itself.
        dataset: String,
        /// Channels of its images.
        has: usize,
        /// Channels that the encoder was trained on.
        takes: usize,
    },
    /// The images have no labels.
    #[error("{which} this dataset, {dataset}, have no labels")]
    NoLabels {
        /// Which images: `the test images of`.
        which: &'static str,
        /// The dataset, as it describes itself.
        dataset: String,
    },
    /// The dataset lacks a split.
    #[error("this dataset has no {which} images")]
    NoSplit {
        /// `training` or `test`.
        which: &'static str,
    },
    /// The pipeline has no such view.
    #[error("the run's pipeline has no view `{view}`")]
    NoTrainView {
        /// The requested view.
        view: String,
        /// The existing views.
        known: Vec<String>,
    },
    /// The training view and the test view have different sizes.
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
    /// A part of the probe cannot be built.
    #[error("the probe's {what} cannot be built: {source}")]
    Config {
        /// Which part.
        what: &'static str,
        /// Why.
        source: ConfigError,
    },
    /// The backbone cannot drop paths.
    #[error("stochastic depth is not possible: {0}")]
    DropPath(ConfigError),
    /// A training is to go on with other images than it was started with.
    #[error(
        "the {images} are not those that this training was started with, though they have the same names"
    )]
    OtherImages {
        /// Training images or test images.
        images: &'static str,
    },
    /// A training is to go on with other settings than it was started with.
    #[error("this training was started with {what} {before}, and is to go on with {now}")]
    OtherTraining {
        /// The setting.
        what: String,
        /// What it was.
        before: String,
        /// What it is now.
        now: String,
    },
    /// What a training has saved does not fit the encoder.
    #[error("this training cannot go on: {0}")]
    State(StateError),
    /// What is needed to go on could not be saved.
    #[error(transparent)]
    Unfinished(#[from] UnfinishedError),
    /// Only the backbone can be fine-tuned.
    #[error("the head cannot be fine-tuned, only the backbone")]
    HeadFineTuned,
    /// The loss of fine-tuning became infinite or not a number.
    #[error("fine-tuning has diverged in epoch {epoch}: its loss is infinite or not a number")]
    FineTuningDiverged {
        /// The epoch, from 1.
        epoch: u64,
        /// The base learning rate.
        base_lr: f64,
    },
    /// kNN classification failed.
    #[error("kNN classification is not possible: {0}")]
    Knn(#[from] KnnError),
    /// No classifier can be trained.
    #[error("the classifier cannot be trained: {0}")]
    Probe(#[from] ProbeError),
    /// Images cannot be loaded.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The encoder rejects the images.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The caller stopped the computation.
    #[error("stopped after {}", counted(*n_images, "image"))]
    Stopped {
        /// Images that were done.
        n_images: usize,
    },
    /// The evaluation changed the encoder.
    #[error("the evaluation changed `{tensor}` of the encoder: its results are invalid")]
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
        const WITH_LABELS: &str = "use a dataset with labels, such as class folders";
        const DIVERGED: &str = "training has diverged: use an earlier checkpoint";
        match self {
            Self::Load(error) => error.hint(),
            Self::Dataset(error) => Some(error.hint.clone()),
            Self::Data(error) => error.hint(),
            Self::Channels { .. } => Some("use a dataset whose images have as many channels".into()),
            Self::NoLabels { .. } | Self::Knn(KnnError::NoLabels) => Some(WITH_LABELS.into()),
            Self::NoSplit { .. } => {
                Some("configure both splits; `moco plugins` shows the fields of the dataset".into())
            }
            Self::NoTrainView { known, .. } => Some(format!("choose one of: {}", known.join(", "))),
            Self::ViewSizes { .. } => Some("train on a view with the size of the test view".into()),
            Self::Config { source, .. } | Self::DropPath(source) => source.hint().map(str::to_owned),
            Self::OtherImages { .. } => Some("give it its images back, or start a new training".into()),
            Self::OtherTraining { .. } => {
                Some("go on with the settings that it was started with, or start a new one".into())
            }
            Self::State(_) => Some("start a new one".into()),
            Self::Unfinished(error) => error.hint(),
            Self::HeadFineTuned => Some("use the backbone's features".into()),
            Self::FineTuningDiverged { base_lr, .. } => {
                Some(format!("lower the base learning rate, which is {base_lr:?}"))
            }
            Self::Knn(KnnError::NotFinite) | Self::Probe(ProbeError::NotFinite) => Some(DIVERGED.into()),
            Self::Probe(ProbeError::NoLabels | ProbeError::Classes(_)) => {
                Some("use a dataset with labels of several classes, such as class folders".into())
            }
            Self::Loader(error) => error.hint().map(str::to_owned),
            Self::Engine(error) => error.hint(),
            Self::Changed { .. } => {
                Some("this is a bug in the program or in a plugin: please report it".into())
            }
            Self::Knn(_) | Self::Probe(_) | Self::Stopped { .. } => None,
        }
    }
}
