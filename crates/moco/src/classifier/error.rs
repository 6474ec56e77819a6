//! Errors of classifiers.

use std::path::PathBuf;

use run_store::checkpoint::CheckpointError;

use crate::LoadError;

/// A classifier that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassifierError {
    /// The path does not exist.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The folder has no classifier, and neither has one of its evaluations.
    #[error("`{}` has no classifier yet", path.display())]
    None {
        /// The folder.
        path: PathBuf,
    },
    /// The file is a checkpoint of a run.
    #[error("`{}` is a checkpoint without a classifier", path.display())]
    OfARun {
        /// The file.
        path: PathBuf,
    },
    /// The file is of another version of this program.
    #[error("the classifier in `{}` has version {found}, and this program reads version 1", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// The file lacks something that a classifier needs.
    #[error("the classifier in `{}` has no {what}", path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        what: &'static str,
    },
    /// The classifier takes other features than its encoder gives.
    #[error("the classifier in `{}` takes {takes} features, and its encoder gives {gives}", path.display())]
    Width {
        /// The file.
        path: PathBuf,
        /// Features that the classifier takes.
        takes: usize,
        /// Features that the encoder gives.
        gives: usize,
    },
    /// The file cannot be read, or is damaged.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The encoder in the file cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl ClassifierError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some(
                "give a run or an evaluation in it, for instance `runs/NAME-001/evaluations/linear-001`"
                    .into(),
            ),
            Self::None { .. } | Self::OfARun { .. } => {
                Some("train one with a linear probe or by fine-tuning".into())
            }
            Self::Version { .. } => Some("use the version of this program that wrote it".into()),
            Self::Incomplete { .. } | Self::Width { .. } => Some("train the classifier anew".into()),
            Self::Checkpoint(error) => error.hint(),
            Self::Load(error) => error.hint(),
        }
    }
}
