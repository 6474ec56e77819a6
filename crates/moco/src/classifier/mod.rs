//! Trained classifiers, and how they are kept.

mod error;
mod kept;

pub use self::error::ClassifierError;
pub(crate) use self::kept::{BIAS, WEIGHT};
pub use self::kept::{ClassifierFacts, KeptClassifier, find_classifier};
