//! Images from a dataset to batches: decoded and augmented by worker threads, ahead of the training step.
//!
//! Start at [`Loader`]; [`EvalLoader`] is its plain sibling for measuring. What a batch holds depends on the seed, the
//! epoch and the images alone, bit for bit, and never on how many workers there are or which of them was fast.

mod error;
mod evaluation;
mod training;
mod unreadable;
mod workers;

#[cfg(test)]
mod tests;

pub use self::error::LoaderError;
pub use self::evaluation::{EvalBatch, EvalLoader, EvalPlan};
pub use self::training::{Batch, Loader, LoaderPlan, LookAhead, Rest};
pub use self::unreadable::UnreadableLog;
pub use self::workers::View;
