//! The run folder: where the pipeline, the metrics and the checkpoints are, and who may write there.
//!
//! Start at [`RunFolder`].

mod error;
mod folder;
mod going_on;
mod held;
mod lock;
mod own;
mod removal;
mod result_folder;
mod run_log;
mod shown;
mod since;
mod size;
mod unfinished;
mod whole_file;

pub use self::error::RunFolderError;
pub use self::folder::RunFolder;
pub use self::going_on::{GoingOn, GoingOnError};
pub use self::held::HeldFolder;
pub use self::lock::{Holder, RunLock};
pub(crate) use self::own::{check_own_file, check_own_folder, read_own};
pub use self::removal::Removed;
pub use self::result_folder::ResultFolder;
pub use self::run_log::{Logged, RunLog, stamp};
pub use self::shown::{cell, one_line, path_cell, shown};
pub use self::unfinished::{UnfinishedError, UnfinishedFolder};
pub(crate) use self::whole_file::remove_partial;
pub use self::whole_file::{
    Fill, Held, NotWritten, Quiet, hold, let_writes_end, write_new, write_together, write_whole,
};
