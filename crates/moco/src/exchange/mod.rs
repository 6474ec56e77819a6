//! Exports weights to other programs, and imports them.
//!
//! [`export`] writes a trained encoder under the names of torchvision, timm, facebookresearch/moco and others, or as an
//! ONNX graph. [`ForeignWeights`] reads such files, and creates a run that starts from them.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/encoder/tiny_run.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! # let run = write(root.path());
//! # let file = root.path().join("encoder.safetensors");
//! use moco::exchange::{ExportOptions, ForeignWeights, Target, export};
//!
//! let exported = export(&run, &file, &ExportOptions::new(Target::Moco))?;
//! println!("{}", exported.python); // how PyTorch loads it
//!
//! let read = ForeignWeights::read(&file)?;
//! assert_eq!(read.architecture.n_features(), exported.architecture.n_features());
//! assert!(read.report().fits());
//! # Ok(())
//! # }
//! ```

mod card;
mod comparison;
mod error;
mod export;
mod folder;
#[cfg(feature = "train")]
mod import;
#[cfg(feature = "train")]
mod line;
mod opened;
pub(crate) mod parts;
#[cfg(feature = "train")]
pub(crate) mod positions;

pub use self::error::{Counterpart, ExchangeError, Mismatch};
pub use self::export::{ExportOptions, Exported, export};
pub use self::folder::{ENCODER_FOLDER, EncoderFolder, export_encoder};
#[cfg(feature = "train")]
pub use self::import::{ForeignWeights, ImportNote};
#[cfg(feature = "train")]
pub use self::line::BackboneLine;
pub use plugin_api::Resized;
pub use weights::{Architecture, Choice, Encoders, Place, Report, Side, Target, Unrecognized, shown};
