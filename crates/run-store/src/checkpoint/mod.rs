//! Checkpoints: everything that is needed to resume a run, in one safetensors file.
//!
//! Start at [`Snapshot`]. A checkpoint is complete or absent, equal contents give equal bytes, and a checksum over
//! names, types, shapes, values and metadata detects damage. [`CheckpointFolder`] manages those of a run.

mod error;
mod file;
mod files;
mod folder;

pub use self::error::CheckpointError;
pub use self::file::{Snapshot, from_bytes, read, read_metadata, to_bytes, write};
pub use self::files::{CheckpointFile, CheckpointKind, files_in};
pub use self::folder::{Best, CheckpointFolder, SCORE_METRIC, Score, SetAside};
pub use crate::tensor_file::Stored;
