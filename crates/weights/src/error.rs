//! What can be wrong with a file of weights.

use std::path::{Path, PathBuf};

use run_store::checkpoint::Stored;

use crate::{Shape, Tensors};

/// A file of weights that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    #[error("`{path}` cannot be read: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// It is no file of weights.
    #[error("`{path}` is neither safetensors nor a file of PyTorch: {reason}")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It ends too early.
    #[error("`{path}` is cut short: {what}")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is not there.
        what: String,
    },
    /// It contradicts itself.
    #[error("`{path}` is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// Loading it would run code.
    #[error("`{path}` is a pickle with code in it: it asks for `{global}`")]
    Code {
        /// The file.
        path: PathBuf,
        /// What it would call.
        global: String,
    },
    /// A tensor has values of a type that is not taken.
    #[error("`{path}`: `{tensor}` has values of type {dtype}")]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: String,
    },
    /// It claims more than it holds.
    #[error("`{path}` is larger than it can be: {what}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: String,
    },
    /// There are no weights in it.
    #[error("`{path}` holds no weights: {reason}")]
    NoWeights {
        /// The file.
        path: PathBuf,
        /// What it holds.
        reason: String,
    },
}

impl ReadError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { .. } => return None,
            Self::Unknown { .. } => {
                "give a `.safetensors` file, or a `.pth`, `.pt` or `.pth.tar` that `torch.save` wrote"
            }
            Self::Truncated { .. } | Self::Damaged { .. } => "copy or download it again",
            Self::Code { .. } => {
                "only tensors in plain containers are read, and nothing is run; if you trust the file, load it in PyTorch \
                 and save its `state_dict` alone"
            }
            Self::Dtype { .. } => {
                "weights are float32, float16 or bfloat16, counts are integers; convert it with `tensor.float()`"
            }
            Self::TooLarge { .. } => {
                "files of weights hold each value once; this one was not made by `torch.save`"
            }
            Self::NoWeights { .. } => {
                "weights are tensors by name, at the top or under `state_dict` or `model`"
            }
        };
        Some(hint.into())
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| match reason.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Self::Truncated { path, what: "it ends in the middle of something".into() }
            }
            _ => Self::Io { path, reason },
        }
    }
}

/// Weights that belong to no encoder that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unrecognized {
    /// There is nothing to recognize, or nothing is recognized.
    #[error("{}", family(.example.as_deref()))]
    Family {
        /// One of the names.
        example: Option<String>,
    },
    /// A tensor by which an encoder is recognized is not there.
    #[error("there is no `{name}`")]
    Missing {
        /// Its name.
        name: String,
    },
    /// Such a tensor has an impossible shape.
    #[error("`{name}` is {found}, and {expected} is expected")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: String,
        /// What it could be.
        expected: &'static str,
    },
    /// A ResNet without four stages.
    #[error("a ResNet has blocks in each of four stages, and here are {blocks:?}")]
    Stages {
        /// The blocks of each.
        blocks: [usize; 4],
    },
}

impl Unrecognized {
    pub(crate) fn shape(name: &str, tensors: &Tensors, expected: &'static str) -> Self {
        let found = tensors
            .get(name)
            .map_or_else(|| "nothing".into(), |stored: &Stored| Shape::of(stored).to_string());
        Self::Shape { name: name.into(), found, expected }
    }
}

fn family(example: Option<&str>) -> String {
    match example {
        None => "there are no weights".into(),
        Some(name) => format!("`{name}` belongs to no ResNet and no vision transformer that is known"),
    }
}
