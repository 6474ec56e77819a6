//! The engine that runs a pipeline, the loader that feeds it, and the loop that trains.
//!
//! Start at [`trainer::train`]; [`engine::Engine`] is one step. This crate names no plugin.

mod collective;
pub mod engine;
pub mod features;
pub mod loader;
#[cfg(feature = "trainer")]
pub mod trainer;

pub use self::collective::{Collective, SingleProcess};
