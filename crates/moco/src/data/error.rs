//! What can go wrong while images are looked at or packed.

use std::path::PathBuf;

use datasets::PackError;
use loader::LoaderError;
use pipeline::PipelineError;
use plugin_api::{ConfigError, DatasetError, UnreadableImage};

use crate::DeviceError;

/// Images that cannot be looked at or packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The pipeline that names the images is wrong.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The GPU cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// There are no images.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// There is nothing at the path.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The images at the path are not split into those to train and those to test on.
    #[error("`{}` has no training and test images: no folder `train` with a folder for each class", path.display())]
    NoSplits {
        /// The path.
        path: PathBuf,
    },
    /// None of the images that were looked at can be read.
    #[error("none of {n_looked_at} images that were looked at can be read; the first: {image}")]
    NoneReadable {
        /// Images that were looked at.
        n_looked_at: usize,
        /// The first of them.
        image: UnreadableImage,
    },
    /// The text does not name a dataset.
    #[error("`{text}` does not name a dataset: {message}")]
    Named {
        /// The text.
        text: String,
        /// What is wrong with it.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// An option is wrong.
    #[error(transparent)]
    Option(#[from] ConfigError),
    /// Too many images cannot be read.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The pack cannot be written.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// Only image files have bytes to keep.
    #[error("{name} is not an image file, so there are no bytes to keep")]
    NoFile {
        /// The image.
        name: String,
    },
}

impl DataError {
    /// What to do about it; `None` if the message says it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Pipeline(_) => None,
            Self::Device(error) => Some(error.hint().into()),
            Self::Dataset(error) => Some(error.hint.clone()),
            Self::Missing { .. } => Some("check the path".into()),
            Self::NoneReadable { .. } => Some("check that the folder has images, and in which format".into()),
            Self::NoSplits { .. } => Some(
                "name the dataset and its fields, for instance `list-file(path: \"train.csv\", test: \"test.csv\")`".into(),
            ),
            Self::Named { hint, .. } => hint.clone(),
            Self::Option(error) => error.hint().map(Into::into),
            Self::Loader(error) => error.hint().map(Into::into),
            Self::Pack(PackError::Exists { .. }) => Some("choose another name".into()),
            Self::Pack(PackError::Write { .. }) => {
                Some("nothing was written; check the place and its free space".into())
            }
            Self::Pack(PackError::Image { .. }) => None,
            Self::Pack(PackError::Read { .. }) => {
                Some("this is a fault of the dataset's plugin; pack decoded pixels instead".into())
            }
            Self::NoFile { .. } => Some("pack decoded pixels instead".into()),
        }
    }
}
