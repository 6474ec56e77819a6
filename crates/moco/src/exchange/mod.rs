//! Weights for other programs, and from them.
//!
//! [`export`] writes a trained encoder under the names of torchvision, timm, facebookresearch/moco and others, or as an
//! ONNX graph. [`ForeignWeights`] reads such files, and makes a run that starts from them.

mod error;
mod export;
#[cfg(feature = "train")]
mod import;
mod parts;

pub use self::error::ExchangeError;
pub use self::export::{ExportOptions, Exported, export};
#[cfg(feature = "train")]
pub use self::import::{ForeignWeights, ImportNote};
pub use weights::{Architecture, Encoders, Report, Target};
