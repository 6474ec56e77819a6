//! Operations on dfdx tensors, with gradients, that dfdx lacks on stable Rust or has slowly.
//!
//! Start at [`FeatureMap`], which hides how image-shaped values are laid out, at [`Tokens`], what a transformer works on,
//! at [`Parameter`], and at [`Recording`], which says whether an operation is recorded for the backward pass. Each
//! operation is one file.
//!
//! Results do not depend on the number of threads: work is cut by the shape of the data, and sums are taken in a fixed
//! order. They do depend on the instructions in use, see [`kernel_family`] and [`choose_kernels`].
//!
//! Shapes are checked where an operation begins: a wrong one is an [`OpError`], never a panic.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod accelerator;
#[cfg(feature = "mimalloc")]
mod allocator;
mod blend;
mod buffer;
mod conv;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod error;
mod feature_map;
mod features;
mod geometry;
mod info_nce;
mod info_nce_in_batch;
mod l2_normalize;
mod largest;
mod layout;
mod linear;
mod linear_rows;
mod loss;
mod matrix;
mod memory;
mod mode;
#[cfg(any(test, feature = "cuda"))]
mod noise;
mod norm;
mod parameter;
mod peak;
mod pointwise;
mod pool;
mod precision;
mod recording;
mod resident;
mod rows;
mod scratch;
mod simd;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod update_rule;
mod values;

// Without this line the emulated driver would not be linked in.
#[cfg(feature = "cuda-emulated")]
use cuda_emulation as _;
use dfdx::tensor::{AutoDevice, NoneTape, Tensor};

#[cfg(feature = "mimalloc")]
pub use self::allocator::keep_memory;
pub use self::{
    accelerator::{
        Check, DeviceStatus, allow_tensor_float, device_status, give_back_memory, kernel_sources,
        open_device, peak_device_memory, self_test, synchronize,
    },
    blend::blend_values,
    buffer::Buffer,
    conv::{ConvAlgorithm, conv2d, conv2d_before_norm},
    device::{Movable, is_on_device},
    error::{OpError, in_gib},
    feature_map::FeatureMap,
    features::{
        Rows, concat_rows, features_from_rows, gradient_of_rows, relu_features, select_rows, to_rows,
    },
    geometry::ConvGeometry,
    info_nce::{InfoNce, KeepLogits, info_nce_queue},
    info_nce_in_batch::info_nce_in_batch,
    l2_normalize::l2_normalize,
    largest::{largest_gradients, largest_value},
    linear::linear,
    linear_rows::{LinearGradient, linear_rows, linear_rows_gradient},
    loss::{backward, loss_with_gradient, scale_loss, sum_losses, sum_weighted_by, weighted_sum},
    mode::Mode,
    norm::{BatchNorm, batch_norm, batch_norm_add_relu, batch_norm_features, batch_norm_relu},
    parameter::{Parameter, ParameterKind, TorchValues},
    peak::register_peak,
    pointwise::{add, add_relu, relu},
    pool::{average_pool, global_average_pool, max_pool},
    precision::Precision,
    recording::Recording,
    simd::{choose_kernels, kernel_family},
    tokens::{
        LayerNorm, Tokens, add_bias, add_position, attention, keep_token, layer_norm, linear_add_tokens,
        linear_gelu_tokens, linear_tokens, mean_tokens, prepend_token, select_token, tokens_from_map,
    },
    update_rule::{DeviceUpdate, LayerRate, UpdateRule, blend_on_device, update_on_device},
};

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
