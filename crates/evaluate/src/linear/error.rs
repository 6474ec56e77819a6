//! Why there is no probe.

use plugin_api::{ConfigError, NamesError};
use tensor_ops::OpError;

/// A probe that cannot be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// One of the splits has no labels, or an image without one.
    #[error("the images have no labels")]
    NoLabels,
    /// One of the splits has no images.
    #[error("there are no images that can be read")]
    NoImages,
    /// There is nothing to tell apart.
    #[error("there is {0} class, and a classifier needs two")]
    Classes(usize),
    /// The features of the two splits are not equally wide.
    #[error("the classifier takes {probe} features an image, and there are {found}")]
    Width {
        /// `D` of the probe.
        probe: usize,
        /// `D` of what it is to classify.
        found: usize,
    },
    /// A feature is infinite or not a number.
    #[error("a feature is infinite or not a number")]
    NotFinite,
    /// The settings make no sense.
    #[error("{what} is {value}, but {must}")]
    Setting {
        /// Which.
        what: &'static str,
        /// Its value.
        value: String,
        /// What holds for values that make sense.
        must: &'static str,
    },
    /// An operation failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The encoder has not the parameters that it was built with.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// The classifier cannot be built.
    #[error(transparent)]
    Build(#[from] ConfigError),
}
