//! The contract between plugins, and the engine that runs a pipeline of them.
//!
//! A plugin crate starts at [`plugin`]: the traits, and the registry that finds what implements them. This crate names no plugin.

pub mod checkpoint;
mod collective;
pub mod engine;
mod image;
pub mod loader;
pub mod metrics;
mod nearest;
pub mod pipeline;
pub mod plugin;
mod rng;
pub mod run_folder;
pub mod trainer;

pub use self::collective::{Collective, SingleProcess};
pub use self::image::{ByteImage, FloatImage, Image, ImageShape, ImageValues};
pub use self::nearest::nearest;
pub use self::rng::Rng;
