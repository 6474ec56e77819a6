//! Batch normalization.

mod backward;
mod forward;
mod groups;
mod mask;
mod spread;
mod statistics;
mod sums;
#[cfg(test)]
mod tests;

pub use self::{
    backward::{Backward, Gradient, Tail, Wanted},
    forward::{Affine, Coefficients, apply},
    groups::Groups,
    statistics::{ChannelSums, Statistics},
    sums::GradientSums,
};
