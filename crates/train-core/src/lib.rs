//! The contract between plugins, and the engine that runs a pipeline of them.
//!
//! A plugin crate starts at [`plugin`]: the traits, and the registry that finds what implements them. This crate names no plugin.

pub mod checkpoint;
mod collective;
mod draws;
pub mod engine;
pub mod loader;
pub mod metrics;
mod nearest;
mod picture;
pub mod pipeline;
pub mod plugin;
pub mod run_folder;
pub mod trainer;

pub use self::collective::{Collective, SingleProcess};
pub use self::draws::Draws;
pub use self::nearest::nearest;
pub use self::picture::{ByteImage, FloatImage, Picture, PictureShape, PictureValues};
