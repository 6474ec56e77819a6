//! The engine that runs a pipeline, and the loop that trains.
//!
//! Start at [`trainer::train`]; [`engine::Engine`] is one step. This crate names no plugin.

mod collective;
pub mod engine;
pub mod features;
#[cfg(feature = "trainer")]
pub mod trainer;

pub use self::collective::{Collective, SingleProcess};
