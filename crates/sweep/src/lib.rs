//! Sweeps: train variations of a pipeline with several seeds, and compare them in a table.
//!
//! Start at [`Variations`], which describes what is varied, and [`Sweep`], the folder in which the runs are trained one
//! after the other. All combinations are trained with the first seed before the second seed starts, so a sweep that is
//! stopped early has results for each.
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
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

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
pub use self::folder::STATE_FILE;
pub use self::observer::{RunOutcome, RunStart, SweepObserver};
pub use self::plan::Variations;
pub use self::state::RunState;
pub use self::train::{Sweep, SweepEnd};
