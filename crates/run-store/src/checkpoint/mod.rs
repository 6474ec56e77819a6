//! Checkpoints: everything that a run needs to go on, in one safetensors file.
//!
//! Start at [`Snapshot`]. A checkpoint is there whole or not at all, equal contents are equal bytes, and a checksum over
//! names, types, shapes, values and metadata tells damage from contents. [`CheckpointFolder`] keeps those of a run.

mod error;
mod file;
mod folder;

pub use self::error::CheckpointError;
pub use self::file::{Snapshot, read, write};
pub use self::folder::CheckpointFolder;
pub use crate::tensor_file::Stored;
