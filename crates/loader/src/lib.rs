//! Loads batches of images: worker threads decode and augment them ahead of the training step.
//!
//! Start at [`Loader`]; [`EvalLoader`] is a simpler version for evaluation. The contents of a batch depend only on the
//! seed, the epoch and the images, bit for bit, and not on the number of workers or their speed.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod contents;
mod error;
mod evaluation;
mod kept;
mod training;
mod unreadable;
mod workers;

#[cfg(test)]
mod tests;

pub use self::contents::{digests_of_a_few, may_be_the_same};
pub use self::error::LoaderError;
pub use self::evaluation::{EvalBatch, EvalLoader, EvalPlan};
pub use self::kept::{KEPT_BYTES, keep_small};
pub use self::training::{Batch, LimitCheck, Loader, LoaderPlan, LookAhead, Rest};
pub use self::unreadable::UnreadableLog;
pub use self::workers::View;
