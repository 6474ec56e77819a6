//! What is recorded, and the gradients of a backward pass.
//!
//! dfdx's tape keeps the order of operations. Gradients of dfdx's own tensors, which are rows of features and losses, are kept
//! by dfdx; those of feature maps, tokens and parameters by this crate, as they are computed: in their precision, where they
//! are, and without a placeholder for each.

mod gradients;
mod named;
mod recording;
mod slot;
mod watch;

pub use self::{
    gradients::Gradients,
    recording::Recording,
    watch::{GradientWatch, TakeGradient},
};
pub(crate) use self::{
    gradients::{BySlot, Pass, collected},
    named::{Named, NamedRows},
    recording::{join, recorded_handle},
    slot::Slot,
};
