//! Errors of export and import.

use std::io;
use std::path::PathBuf;

use pipeline::PipelineError;
use plugin_api::MAX_CHANNELS;
use weights::{ReadError, Shape, Target, Unfit, Unrecognized, shown};

use crate::{ClassifierError, DeviceError, LoadError, RunError};

/// Weights that cannot be exported or imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// There is no such run, or no usable checkpoint.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run's pipeline cannot be used.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The environment or the device cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The checkpoint has no such encoder.
    #[error("the checkpoint has no {side} encoder")]
    NoEncoder {
        /// `query` or `momentum`.
        side: &'static str,
    },
    /// Other programs have no such backbone.
    #[error("`{backbone}` cannot be exported: other programs have no such encoder")]
    NoCounterpart {
        /// The backbone's module.
        backbone: String,
    },
    /// The normalization of images is unknown.
    #[error("the view `{view}` does not end with `normalize`, so the normalization is unknown")]
    NoNormalization {
        /// The view.
        view: String,
    },
    /// A classifier stands on one encoder, and another was chosen.
    #[error("the classifier in `{}` stands on the query encoder alone, and {what} is asked for", path.display())]
    OfClassifier {
        /// Its file.
        path: PathBuf,
        /// What was chosen.
        what: &'static str,
    },
    /// The positions of a ViT are not those of the images that its classifier was trained on.
    #[error(
        "the classifier in `{}` was trained on images of {}x{} pixels, and the encoder has positions for {}x{}",
        path.display(), size.0, size.1, trained.0, trained.1
    )]
    ClassifierSize {
        /// Its file.
        path: PathBuf,
        /// `(H, W)` of the images that the classifier was trained on.
        size: (usize, usize),
        /// `(H, W)` of the images that the encoder was trained on.
        trained: (usize, usize),
    },
    /// The classifier cannot be used.
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
    /// The head was requested, but there is none.
    #[error("the run has no head")]
    NoHead,
    /// The head has several modules.
    #[error("the head has {} modules: {}", names.len(), names.join(", "))]
    ManyHeads {
        /// Their names.
        names: Vec<String>,
    },
    /// The head has layers that no target supports.
    #[error("`{head}` has other layers than linear, batch norm and ReLU")]
    ForeignHead {
        /// The head's module.
        head: String,
    },
    /// The target cannot represent the encoder.
    #[error("`{target}` cannot take this encoder: {unfit}")]
    Unfit {
        /// The target.
        target: Target,
        /// The reason, and the targets that can.
        unfit: Unfit,
    },
    /// The encoder has values that no other program can use.
    #[error("the encoder in `{}` has diverged: `{}` has {what}", path.display(), shown(.tensor))]
    Implausible {
        /// The checkpoint, or the classifier.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong with it: `3 of 64 values that are not finite, NaN first`.
        what: String,
    },
    /// The file cannot be written.
    #[error("`{}` cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file is a checkpoint of this program.
    #[error("`{}` is a checkpoint of this program", path.display())]
    OwnCheckpoint {
        /// The file.
        path: PathBuf,
    },
    /// The file has weights of an unknown encoder, or not the one that was asked for.
    #[error("the weights in `{}` cannot be used: {reason}", path.display())]
    Unrecognized {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: Unrecognized,
    },
    /// The weights do not match the run or the encoder.
    #[error("the {part} in `{}` does not match {of}: {mismatch}", path.display())]
    Mismatch {
        /// `backbone`, `head` or `predictor`.
        part: &'static str,
        /// The file.
        path: PathBuf,
        /// What they should match.
        of: Counterpart,
        /// The first mismatch.
        mismatch: Mismatch,
    },
    /// The run cannot be created.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Create(Box<crate::Error>),
}

/// What weights are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counterpart {
    /// A whole encoder of the kind that they seem to be.
    Kind,
    /// The pipeline of this name.
    Pipeline(String),
}

impl std::fmt::Display for Counterpart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kind => f.write_str("an encoder of this kind"),
            Self::Pipeline(name) => write!(f, "the pipeline `{name}`"),
        }
    }
}

/// How a tensor does not match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is not there.
    #[error("`{}` is missing", shown(.name))]
    Missing {
        /// Its name.
        name: String,
    },
    /// It has another shape.
    #[error("`{}` is {}, expected {}", shown(.name), shapes.0, shapes.1)]
    Shape {
        /// Its name.
        name: String,
        /// Its shape, and that of its counterpart.
        shapes: Box<(Shape, Shape)>,
    },
    /// It is of images of other channels, and not of RGB, which are made to fit.
    #[error("its first layer takes {}, and the pipeline's images have {images}", n_channels(*.weights))]
    Channels {
        /// Channels that the weights take.
        weights: usize,
        /// Channels of the pipeline's images.
        images: usize,
    },
    /// It has no counterpart.
    #[error("`{}` is unexpected", shown(.name))]
    Unexpected {
        /// Its name.
        name: String,
    },
}

/// `n` channels in words.
pub(super) fn n_channels(n: usize) -> String {
    match n {
        1 => "1 channel".into(),
        n => format!("{n} channels"),
    }
}

impl ExchangeError {
    /// The error of the file at `path`.
    #[cfg(feature = "train")]
    pub(super) fn of_file(path: &std::path::Path) -> impl FnOnce(weights::EncodersError) -> Self {
        let path = path.to_owned();
        move |error| match error {
            weights::EncodersError::Unrecognized(reason) => Self::Unrecognized { path, reason },
            weights::EncodersError::Read(error) => Self::Read(error),
        }
    }
}

impl From<DeviceError> for ExchangeError {
    fn from(error: DeviceError) -> Self {
        Self::Load(error.into())
    }
}

#[cfg(feature = "train")]
impl From<crate::Error> for ExchangeError {
    fn from(error: crate::Error) -> Self {
        Self::Create(Box::new(error))
    }
}

impl ExchangeError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Run(error) => return error.hint(),
            Self::Load(error) => return error.hint(),
            Self::Read(error) => return error.hint(),
            Self::Classifier(error) => return error.hint(),
            Self::ClassifierSize { .. } => {
                "train the classifier through a view of the size that the encoder was trained on".into()
            }
            Self::OfClassifier { .. } => "export the run itself, without the classifier".into(),
            #[cfg(feature = "train")]
            Self::Create(error) => return error.hint(),
            Self::Pipeline(_) | Self::Write { .. } => return None,
            Self::NoEncoder { .. } => {
                "only a pipeline with a step of `weights: Momentum` has one; export the query encoder".into()
            }
            Self::NoCounterpart { .. } => {
                "only ResNets and vision transformers can be exported; the checkpoint itself is a safetensors file"
                    .into()
            }
            Self::NoNormalization { .. } => "use the plugin `normalize` as its last step".into(),
            Self::NoHead | Self::ManyHeads { .. } | Self::ForeignHead { .. } => {
                "export the backbone alone".into()
            }
            Self::Unfit { unfit, .. } if unfit.fitting.is_empty() => {
                "no target fits; the checkpoint itself is a safetensors file".into()
            }
            Self::Unfit { unfit, .. } => {
                let fitting: Vec<&str> = unfit.fitting.iter().map(|target| target.name()).collect();
                format!("choose another target: {}", fitting.join(", "))
            }
            Self::Implausible { .. } => "export an earlier checkpoint, from before it diverged".into(),
            Self::OwnCheckpoint { .. } => "no import is needed: open its run".into(),
            Self::Unrecognized { reason, .. } => reason.hint().into(),
            Self::Mismatch { part: "backbone", mismatch: Mismatch::Unexpected { .. }, .. } => {
                "leave it out if it is no part of the encoder".into()
            }
            Self::Mismatch { part: "backbone", of: Counterpart::Kind, .. } => {
                "the encoder in this file is not whole, or has other layers than its names say".into()
            }
            Self::Mismatch { mismatch: Mismatch::Channels { weights, .. }, .. } => of_channels(*weights),
            Self::Mismatch { part: "backbone", .. } => {
                "use a pipeline whose backbone has the depth, width, patch size and image size of these weights".into()
            }
            Self::Mismatch { .. } => "leave the heads at their random initial values".into(),
        })
    }
}

/// How images get the channels that `weights` takes.
fn of_channels(weights: usize) -> String {
    if weights > MAX_CHANNELS {
        return format!(
            "images have at most {MAX_CHANNELS} channels here; export weights for RGB, which are made to fit others"
        );
    }
    let bands: Vec<String> = (0..weights).map(|band| band.to_string()).collect();
    format!(
        "choose {} of the files in the dataset, as in `read: (bands: [{}])`, with as many numbers in `normalize`; only weights \
         for RGB are made to fit images of other channels",
        n_channels(weights),
        bands.join(", ")
    )
}
