//! Trained classifiers: how they are kept, and the classes that they predict.

mod classify;
mod error;
mod kept;
mod predictions;
mod table;

pub use self::classify::{Classifier, ClassifierOptions};
pub use self::error::ClassifierError;
pub(crate) use self::kept::{BIAS, WEIGHT};
pub use self::kept::{ClassifierFacts, KeptClassifier, find_classifier};
pub use self::predictions::{Prediction, Predictions};
pub use self::table::{PredictionFormat, PredictionTable};
