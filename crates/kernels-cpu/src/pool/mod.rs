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

/// Values that a loop over the windows of a pixel keeps on the stack: in single precision they fit into the first-level cache
/// beside what they are computed from.
const CHUNK: usize = 256;
