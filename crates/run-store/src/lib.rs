//! The files of a run: its folder, its checkpoints and its metrics.
//!
//! Start at [`RunFolder`]; [`checkpoint`] keeps what a run needs to resume, [`metrics`] what it measured.
//! This crate knows no pipeline and no engine.

pub mod checkpoint;
pub mod metrics;
mod run_folder;

pub use self::run_folder::{RunFolder, RunFolderError, RunLock, write_whole};
