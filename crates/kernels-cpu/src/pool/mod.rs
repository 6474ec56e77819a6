//! Pools.

mod average;
mod global;
mod max;
#[cfg(test)]
mod tests;
mod windows;

pub use self::{
    average::{average, average_gradient},
    global::{global_average, global_average_gradient},
    max::{MAX_TAPS, largest, largest_gradient},
};

/// Values of a pixel that a loop over a window computes at a time, on the stack. All of them where there are 64 channels: pixels
/// then lie a page apart, and pieces of them would fall into the same places of the first-level cache.
const CHUNK: usize = 1024;
