//! The instructions that this machine has, chosen at run time, see [`choose_kernels`].
//!
//! A kernel is written once, over [`Lanes`], and compiled for each family: see [`Kernel`].

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod aarch64;
mod bf16;
mod bounds;
mod choice;
mod family;
mod filling;
mod lanes;
mod math;
mod moments;
mod pairs;
mod portable;
mod prefetch;
mod slices;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(crate) use self::{
    bf16::{narrow, rounded, widen},
    bounds::has_room,
    filling::{Filled, Filling, fill, write_new},
    lanes::{Lanes, MAX_LANES},
    math::{exp, gelu, where_positive},
    moments::Moments,
    pairs::{Element, halves_of},
    prefetch::{Lines, begins_line, prefetch},
    slices::{for_registers, max_lane, read, read_some, sum_lanes, transpose, write, write_some},
    tile::{Addends, Operands, Segment, TileMode, multiply_groups, multiply_rows, multiply_rows_summed},
};
pub use self::{
    choice::{choose_kernels, kernel_family},
    family::Family,
};

/// Work that is the same for every family of instructions.
pub(crate) trait Kernel {
    /// What the work gives.
    type Output;

    /// Does the work with the lanes `L`. Must be `#[inline(always)]`, or it is compiled without their instructions.
    fn run<L: Lanes>(self) -> Self::Output;
}
