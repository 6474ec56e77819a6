//! The runs in a folder: how far each has come, how it ended, and what it measured.
//!
//! Start at [`list`] and [`RunReport::of`]. Nothing is built, no image is read, and of checkpoints only the metadata, so that
//! this is quick and tells of runs that train at the same time.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! # let root = root.path();
//! for folder in moco::runs::list(root)?.runs { // for instance "runs"
//!     let report = moco::runs::RunReport::of(folder);
//!     println!("{}: {}, {} epochs", report.name(), report.state, report.epochs_done);
//! }
//! # Ok(())
//! # }
//! ```

mod course;
mod listing;
mod removal;
mod report;
mod state;

pub use self::course::MetricCourse;
pub use self::listing::{Listed, list};
pub use self::removal::{RemoveError, removable, remove};
pub use self::report::RunReport;
pub use self::state::RunState;
pub use pipeline::{Difference, differences};
pub use run_store::Removed;
pub use run_store::checkpoint::{CheckpointFile, CheckpointKind};
pub use run_store::metrics::Best;
