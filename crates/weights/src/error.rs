//! Errors of weight files.

use std::path::{Path, PathBuf};

use run_store::checkpoint::Stored;

use crate::choice::{Place, Side};
use crate::unsupported::unsupported;
use crate::{Shape, Tensors, shown};

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
    #[error("`{path}` is neither a safetensors file nor a PyTorch file: {}", shown(.reason))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The file is truncated.
    #[error("`{path}` is truncated: {}", shown(.what))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// The file is damaged.
    #[error("`{path}` is damaged: {}", shown(.reason))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Loading it would execute code.
    #[error("`{path}` is a pickle that would execute code: it refers to `{}`", shown(.global))]
    Code {
        /// The file.
        path: PathBuf,
        /// The name that it refers to.
        global: String,
    },
    /// A tensor has an unsupported type.
    #[error("`{path}`: `{}` has unsupported values: {dtype}", shown(.tensor))]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: String,
    },
    /// A tensor is of an unsupported kind.
    #[error("`{path}`: `{}` is {kind}, which is not supported", shown(.tensor))]
    Kind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What it is: `a sparse tensor`.
        kind: &'static str,
    },
    /// A tensor repeats the values that are stored for it.
    #[error(
        "`{path}`: `{}` of shape {shape:?} repeats the {n_values} values of its storage, as `tensor.expand` makes it",
        shown(.tensor)
    )]
    Repeats {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Values in its storage.
        n_values: usize,
    },
    /// A tensor has values that no trained encoder has.
    #[error("`{path}`: `{}` has {what}", shown(.tensor))]
    Values {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Which values, and how many.
        what: String,
    },
    /// It claims to be larger than it is.
    #[error("`{path}` claims an impossible size: {}", shown(.what))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: String,
    },
    /// It has no weights.
    #[error("`{path}` has no weights: {}", shown(.reason))]
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
            Self::Kind { .. } => {
                "save it as a dense tensor of float32: `tensor.to_dense()`, `tensor.dequantize()` or `tensor.float()`"
            }
            Self::Repeats { .. } => "save each value once: `tensor.contiguous()`",
            Self::Values { .. } => {
                "the network diverged before it was saved, or the file is damaged: use an earlier checkpoint, or another \
                 copy; what is no part of the encoder can be left out"
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

/// Encoders that cannot be read from a file.
#[derive(Debug, thiserror::Error)]
pub enum EncodersError {
    /// The file cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its weights belong to no known encoder, or to several.
    #[error(transparent)]
    Unrecognized(#[from] Unrecognized),
}

/// Weights of an unknown encoder, or of several.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unrecognized {
    /// The weights are unknown or missing.
    #[error("{}", family(.example.as_deref()))]
    Family {
        /// One of the names.
        example: Option<String>,
    },
    /// The encoder has a part that those here have not.
    #[error("`{}` is {is}", shown(.name))]
    Unsupported {
        /// The name of one of its tensors.
        name: String,
        /// What it is, and what there is instead.
        is: String,
    },
    /// No encoder stands where one was asked for.
    #[error("no encoder is under {}; {}", asked(.key.as_deref(), .prefix.as_deref()), there_are(.found))]
    NoPlace {
        /// The keys that were asked for.
        key: Option<String>,
        /// The prefix that was asked for.
        prefix: Option<String>,
        /// Where there are encoders.
        found: Vec<Place>,
    },
    /// There is no encoder of the side that was asked for.
    #[error("there is no {side} encoder, but one under {}", listed(.found))]
    NoSide {
        /// The side.
        side: Side,
        /// Where there are encoders of the other.
        found: Vec<Place>,
    },
    /// There are several encoders, whose names do not say which is which.
    #[error("there are several encoders, under {}", listed(.found))]
    Several {
        /// Where they stand.
        found: Vec<Place>,
    },
    /// A name that was to be left out is not there.
    #[error("nothing in it is called `{pattern}`, which was to be left out")]
    LeavesNothing {
        /// The pattern.
        pattern: String,
    },
    /// A tensor that identifies an encoder is missing.
    #[error("`{}` is missing", shown(.name))]
    Missing {
        /// Its name.
        name: String,
    },
    /// Such a tensor has an unexpected shape.
    #[error("`{}` is {found}, expected {expected}", shown(.name))]
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
    /// What the reader can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoPlace { .. } | Self::Several { .. } => "choose one of these by its key or its prefix",
            Self::NoSide { .. } => "take the encoder that is there",
            Self::Unsupported { .. } => "only ResNets and plain ViTs can be imported",
            Self::LeavesNothing { .. } => "a pattern is a whole name, in which `*` stands for any letters",
            _ => {
                "names must be those of torchvision, timm, DeiT, detectron2, facebookresearch/moco or moco-v3, with any prefix"
            }
        }
    }

    /// Of a file with these names, none of which is an encoder's.
    pub(crate) fn of_names(names: &[(&str, &str)]) -> Self {
        let known = unsupported(names.iter().map(|(_, name)| *name));
        known.unwrap_or_else(|| Self::Family { example: names.first().map(|(_, name)| (*name).to_owned()) })
    }

    pub(crate) fn shape(name: &str, tensors: &Tensors, expected: &'static str) -> Self {
        let found = tensors
            .get(name)
            .map_or_else(|| "nothing".into(), |stored: &Stored| Shape::of(stored).to_string());
        Self::Shape { name: name.into(), found, expected }
    }
}

/// What was asked for, in the words of a [`Place`].
fn asked(key: Option<&str>, prefix: Option<&str>) -> String {
    match (key, prefix) {
        (Some(key), Some(prefix)) => format!("key `{key}`, prefix `{prefix}`"),
        (Some(key), None) => format!("key `{key}`"),
        (None, prefix) => format!("prefix `{}`", prefix.unwrap_or_default()),
    }
}

fn there_are(places: &[Place]) -> String {
    match places.len() {
        1 => format!("there is one under {}", listed(places)),
        2 => format!("there are two, under {}", listed(places)),
        n => format!("there are {n}, under {}", listed(places)),
    }
}

/// Places that a message names.
const MOST_PLACES: usize = 6;

fn listed(places: &[Place]) -> String {
    let shown: Vec<String> = places.iter().take(MOST_PLACES).map(Place::to_string).collect();
    match (shown.split_last(), places.len()) {
        (_, n @ MOST_PLACES..) if n > MOST_PLACES => {
            format!("{} and {} more", shown.join("; "), n - MOST_PLACES)
        }
        (Some((last, others @ [_, ..])), _) => format!("{} and {last}", others.join("; ")),
        _ => shown.concat(),
    }
}

fn family(example: Option<&str>) -> String {
    match example {
        None => "there are no weights".into(),
        Some(name) => format!("`{}` belongs to no known ResNet or vision transformer", shown(name)),
    }
}
