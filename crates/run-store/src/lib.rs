//! The files of a run: its folder, its checkpoints and its metrics.
//!
//! Start at [`RunFolder`]; [`checkpoint`] stores what is needed to resume a run, [`metrics`] what it measured;
//! [`tensor_file`] writes named tensors. This crate knows no pipeline and no engine.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod checkpoint;
mod disk;
pub mod metrics;
mod run_folder;
pub mod tensor_file;

pub use self::disk::{check_writable, free_space};
pub use self::run_folder::{
    Fill, GoingOn, GoingOnError, Held, HeldFolder, Holder, Logged, NotWritten, Quiet, Removed, ResultFolder,
    RunFolder, RunFolderError, RunLock, RunLog, UnfinishedError, UnfinishedFolder, cell, hold,
    let_writes_end, one_line, path_cell, shown, stamp, write_new, write_together, write_whole,
};
