//! A sweep: a pipeline with several values and seeds, and a table of what came of it.
//!
//! Start at [`Variations`], which says what is varied, and [`Sweep`], the folder in which the runs are trained one after the
//! other. The first seed goes through all combinations before the second one begins, so that a sweep that is stopped early
//! has something of each.
//!
//! ```
//! # use plugins as _;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! use std::num::NonZeroUsize;
//! use std::sync::atomic::AtomicBool;
//!
//! use sweep::{Axis, Sweep, Variations};
//! use train_core::trainer::Silent;
//!
//! # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../moco/tests/tiny.ron");
//! let mut variations = Variations::new(file); // for instance "pipelines/mocov2.ron"
//! variations.axes = vec![Axis::parse("momentum.start=0.9,0.99")?];
//! let device = tensor_ops::Device::default();
//! let mut sweep = Sweep::create(&variations, root.path(), None, &device)?;
//! sweep.train(&device, NonZeroUsize::MIN, &mut Silent, &AtomicBool::new(false))?;
//! println!("{}", sweep.table());
//! # Ok(())
//! # }
//! ```

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
