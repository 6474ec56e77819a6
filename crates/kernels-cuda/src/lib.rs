//! The kernels of moco-rs on a CUDA device: arrays in, arrays out, with no knowledge of tensors or recordings.
//!
//! Values stay on the device from one function to the next, as `Array`s. Kernels are CUDA C in `kernels/`, compiled by NVRTC
//! when first used; each module is what one group of operations makes of them. Feature maps lie `(N, H, W, C)`, one image after
//! the other. A process works on one device, see `open`.
//!
//! Sums are taken in a fixed order, which does not depend on the device. Gradients between operations are kept in the precision
//! of the values that they are of; those of weights are single precision.
//!
//! Lengths are the caller's business: one that does not fit is a panic, before anything runs. A size beyond what a kernel counts
//! is an error.
#![cfg(feature = "cuda")]
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![allow(unsafe_code, reason = "a kernel reads and writes memory that the compiler knows nothing of")]

mod array;
mod blas;
mod columns;
mod context;
pub mod contrast;
pub mod conv;
#[cfg(feature = "emulated")]
mod counts;
pub mod dot;
mod error;
mod launch;
pub mod linear;
mod memory;
mod memory_pool;
pub mod norm;
pub mod optimize;
pub mod pointwise;
pub mod pool;
mod program;
pub mod rows;
mod sending;
mod staging;
mod status;
#[cfg(all(test, feature = "emulated"))]
mod tests;
pub mod tokens;
mod versions;
mod weight;

// Without this line the emulated driver would not be linked in.
#[cfg(feature = "emulated")]
use cuda_emulation as _;

#[cfg(feature = "emulated")]
pub use self::counts::DriverCalls;
use self::program::Program;
pub use self::{
    array::{Array, Lent, download, duplicate, upload, zeros},
    columns::sum_rows,
    context::{allow_tensor_float, is_used, open, with_tensor_float},
    error::{Error, OpenError, Result},
    memory::{Memory, with_room},
    staging::upload_image_batch,
    status::{MemoryUse, Status, give_back_memory, memory_use, peak_memory, status, synchronize},
    weight::{Forms, Weight},
};

/// All kernels but those of convolutions of one group and of tokens. A program that is loaded and is not here fails the test that loads it.
static PROGRAMS: [&Program; 10] = [
    &columns::COLUMNS,
    &conv::GROUPED,
    &contrast::CONTRAST,
    &dot::DOT,
    &linear::LINEAR,
    &norm::NORM,
    &optimize::OPTIMIZE,
    &pointwise::POINTWISE,
    &pool::POOL,
    &rows::ROWS,
];

fn programs() -> impl Iterator<Item = &'static Program> {
    PROGRAMS.iter().chain(&conv::PROGRAMS).chain(&tokens::PROGRAMS).copied()
}

/// The name of each file of kernels, and its source as the compiler gets it. Asks for no device.
pub fn kernel_sources() -> Vec<(&'static str, String)> {
    programs().map(|program| (program.name(), program.source())).collect()
}
