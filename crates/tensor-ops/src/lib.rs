//! Operations on dfdx tensors, with gradients, that dfdx lacks on stable Rust or has slowly.
//!
//! Start at [`FeatureMap`], which hides how image-shaped values are laid out, and at [`Recording`], which says whether
//! an operation is recorded for the backward pass. Each operation is one file.

mod recording;

use dfdx::tensor::{AutoDevice, NoneTape, Tensor};

pub use self::recording::Recording;

/// Where tensors live: dfdx's CPU device, or its CUDA device in a build with the feature `cuda`.
pub type Device = AutoDevice;
/// Gradients of one backward pass, by tensor.
pub type Gradients = dfdx::tensor::Gradients<f32, Device>;
/// One row of features an image, `(N, D)`; recorded or not.
pub type Features = Tensor<(usize, usize), f32, Device, Recording>;
/// `(N, D)`, never recorded.
pub type Matrix = Tensor<(usize, usize), f32, Device, NoneTape>;
/// A loss.
pub type Scalar = Tensor<(), f32, Device, Recording>;
