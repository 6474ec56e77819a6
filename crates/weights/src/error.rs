//! Errors of weight files.

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
        /// The reason.
        #[source]
        reason: std::io::Error,
    },
    /// It is not a weight file.
    #[error("`{path}` is neither a safetensors file nor a PyTorch file: {reason}")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The file is truncated.
    #[error("`{path}` is truncated: {what}")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// The file is damaged.
    #[error("`{path}` is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Loading it would execute code.
    #[error("`{path}` is a pickle that would execute code: it refers to `{global}`")]
    Code {
        /// The file.
        path: PathBuf,
        /// The name that it refers to.
        global: String,
    },
    /// A tensor has an unsupported type.
    #[error("`{path}`: `{tensor}` has unsupported values: {dtype}")]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: String,
    },
    /// It claims to be larger than it is.
    #[error("`{path}` claims an impossible size: {what}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: String,
    },
    /// It has no weights.
    #[error("`{path}` has no weights: {reason}")]
    NoWeights {
        /// The file.
        path: PathBuf,
        /// What it has instead.
        reason: String,
    },
}

impl ReadError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { .. } => return None,
            Self::Unknown { .. } => {
                "use a `.safetensors` file, or a `.pth`, `.pt` or `.pth.tar` from `torch.save`"
            }
            Self::Truncated { .. } | Self::Damaged { .. } => "copy or download it again",
            Self::Code { .. } => {
                "what stands there is made by code, and no code is executed; if you trust the file, load it in PyTorch and save \
                 only its `state_dict`"
            }
            Self::Dtype { .. } => {
                "weights must be float32, float16 or bfloat16, and counts integers; convert it with `tensor.float()`"
            }
            Self::TooLarge { .. } => {
                "weight files store each value once; this one was not made by `torch.save`"
            }
            Self::NoWeights { .. } => {
                "expected a dictionary of tensors, at the top level or under `state_dict` or `model`"
            }
        };
        Some(hint.into())
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| match reason.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Truncated { path, what: "it ends too early".into() },
            _ => Self::Io { path, reason },
        }
    }
}

/// Weights of an unknown encoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unrecognized {
    /// The weights are unknown or missing.
    #[error("{}", family(.example.as_deref()))]
    Family {
        /// One of the names.
        example: Option<String>,
    },
    /// A tensor that identifies an encoder is missing.
    #[error("`{name}` is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// Such a tensor has an unexpected shape.
    #[error("`{name}` is {found}, expected {expected}")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: String,
        /// The expected shape.
        expected: &'static str,
    },
    /// A ResNet without four stages.
    #[error("a ResNet has blocks in each of four stages, but this one has {blocks:?}")]
    Stages {
        /// The number of blocks per stage.
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
        Some(name) => format!("`{name}` belongs to no known ResNet or vision transformer"),
    }
}
