//! The files of a run: its folder, its checkpoints and its metrics.
//!
//! Start at [`RunFolder`]; [`checkpoint`] keeps what a run needs to resume, [`metrics`] what it measured;
//! [`tensor_file`] writes named values.
//! This crate knows no pipeline and no engine.

pub mod checkpoint;
pub mod metrics;
mod run_folder;
pub mod tensor_file;

pub use self::run_folder::{RunFolder, RunFolderError, RunLock, write_whole};
