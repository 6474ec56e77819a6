//! The run folder: where the pipeline, the metrics and the checkpoints are, and who may write there.
//!
//! Start at [`RunFolder`].

mod error;
mod folder;
mod lock;
mod removal;
mod result_folder;
mod run_log;
mod since;
mod size;
mod unfinished;
mod whole_file;

pub use self::error::RunFolderError;
pub use self::folder::RunFolder;
pub use self::lock::{Holder, RunLock};
pub use self::removal::Removed;
pub use self::result_folder::ResultFolder;
pub use self::run_log::{Logged, RunLog};
pub use self::unfinished::{UnfinishedError, UnfinishedFolder};
pub(crate) use self::whole_file::remove_partial;
pub use self::whole_file::write_whole;
