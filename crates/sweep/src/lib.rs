//! A sweep: a pipeline with several values and seeds, and a table of what came of it.
//!
//! Start at [`Variations`], which says what is varied, and [`Sweep`], the folder in which the runs are trained one after the
//! other. The first seed goes through all combinations before the second one begins, so that a sweep that is stopped early
//! has something of each.

mod axes;
mod error;
mod folder;
mod layout;
mod observer;
mod pace;
mod plan;
mod run;
mod spread;
mod state;
mod table;
mod train;

pub use self::axes::Axis;
pub use self::error::SweepError;
pub use self::observer::{RunOutcome, RunStart, SweepObserver};
pub use self::plan::Variations;
pub use self::state::RunState;
pub use self::train::{Sweep, SweepEnd};
