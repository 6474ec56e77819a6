//! The kernels of moco-rs on the CPU: slices in, slices out, with no knowledge of tensors, recordings or devices.
//!
//! A kernel is written once, over vector registers, and compiled for each [`Family`] of instructions. [`Values`] are
//! what lies between kernels, in either [`Precision`]; [`Layout`] says how those of a feature map lie.
//!
//! Results do not depend on the number of threads: work is cut by the shape of the data, and sums are taken in a fixed
//! order. They do depend on the family, see [`choose_kernels`].
//!
//! Sizes are the caller's business: one that does not fit is a panic.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod blend;
pub mod contrast;
pub mod conv;
mod cut;
mod error;
mod geometry;
pub mod largest;
mod layout;
pub mod matrix;
mod memory;
pub mod norm;
mod panels;
mod peak;
pub mod pointwise;
pub mod pool;
mod precision;
pub mod rows;
mod scratch;
mod simd;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod unit_rows;
mod values;

pub use self::{
    error::{FamilyError, SizeError},
    geometry::ConvGeometry,
    layout::{IMAGES_IN_BLOCK, Layout},
    peak::register_peak,
    precision::Precision,
    simd::{Family, choose_kernels, kernel_family},
    values::{Lent, Summed, Values},
};
