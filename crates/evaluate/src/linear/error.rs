//! Errors of linear probes.

use plugin_api::{ConfigError, NamesError};
use tensor_ops::OpError;

/// A probe that cannot be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A split has no labels, or an image without one.
    #[error("the images have no labels")]
    NoLabels,
    /// A split has no images.
    #[error("there are no images that can be read")]
    NoImages,
    /// There are fewer than two classes.
    #[error("there is {0} class, and a classifier needs two")]
    Classes(usize),
    /// The features of the two splits have different dimensions.
    #[error("the classifier takes {probe} features per image, but there are {found}")]
    Width {
        /// `D` of the probe.
        probe: usize,
        /// `D` of the images to classify.
        found: usize,
    },
    /// A feature is infinite or not a number.
    #[error("a feature is infinite or not a number")]
    NotFinite,
    /// A setting is invalid.
    #[error("{what} is {value}, but {must}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: String,
        /// The condition for valid values.
        must: &'static str,
    },
    /// An operation failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The encoder has other parameters than it was built with.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// The classifier cannot be built.
    #[error(transparent)]
    Build(#[from] ConfigError),
}
