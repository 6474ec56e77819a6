//! The operations of moco-rs, with their gradients: the tape, the tensors' handles and the device's context are dfdx's, the
//! operations and kernels our own.
//!
//! Start at [`FeatureMap`], which hides how image-shaped values are laid out, at [`Tokens`], what a transformer works on,
//! at [`Parameter`], and at [`Recording`], which says whether an operation is recorded for the backward pass. Each
//! operation, or each kind of them, is one file.
//!
//! A loss may be written of operations on rows, such as [`matmul`] and [`softmax`], or of its own by [`custom`], and
//! tested by [`check_gradient`](fn@check_gradient). These compute on the host's values, on a CUDA device too.
//!
//! Results do not depend on the number of threads: work is cut by the shape of the data, and sums are taken in a fixed
//! order. They do depend on the instructions in use, see [`kernel_family`] and [`choose_kernels`].
//!
//! Shapes are checked where an operation begins: a wrong one is an [`OpError`], never a panic.
#![cfg_attr(
    feature = "cuda",
    allow(
        clippy::arc_with_non_send_sync,
        reason = "on the CPU values go from thread to thread, on the device they stay"
    )
)]
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod accelerator;
mod backend;
mod check_gradient;
mod counting;
mod device;
mod error;
mod families;
mod host_memory;
mod mode;
mod ops;
mod tape;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod values;

use dfdx::tensor::{AutoDevice, NoneTape, Tensor};

pub use kernels_cpu::{ConvGeometry, Precision, conv::ConvAlgorithm, register_peak};
#[cfg(feature = "cuda-emulated")]
pub use kernels_cuda::DriverCalls;

pub use self::{
    accelerator::{
        Check, DeviceStatus, allow_tensor_float, device_status, give_back_memory, kernel_sources,
        open_device, peak_device_memory, self_test, synchronize,
    },
    check_gradient::{GradientCheck, check_gradient},
    counting::{Counted, ParameterId, count_products},
    device::{Movable, is_on_device},
    error::{OpError, in_gib},
    families::{choose_kernels, kernel_family},
    host_memory::available_host_memory,
    mode::Mode,
    ops::{
        Axis, BatchNorm, DeviceUpdate, InfoNce, KeepLogits, LayerNorm, LayerRate, LinearGradient, Rows,
        UpdateRule, abs, add, add_bias, add_position, add_relu, add_scaled_images, attention, average_pool,
        backward, backward_onto, backward_watched, batch_norm, batch_norm_add_relu, batch_norm_features,
        batch_norm_relu, blend_on_device, blend_values, clamp, clip_gradients, concat_columns, concat_rows,
        concat_rows_of, constant, conv2d, conv2d_before_norm, covariance, custom, detach, diagonal, exp,
        features_from_rows, fork, gather_rows, global_average_pool, gradient_of_rows, grouped_conv2d,
        grouped_conv2d_before_norm, info_nce_in_batch, info_nce_queue, keep_token, l2_normalize,
        largest_gradients, largest_value, layer_norm, layer_norm_features, linear, linear_add_tokens,
        linear_gelu_tokens, linear_rows, linear_rows_gradient, linear_tokens, log, log_softmax, log_sum_exp,
        loss_with_gradient, map_from_tokens, matmul, matmul_transposed, max_pool, mean_all, mean_over,
        mean_tokens, minus, norm_over, number, over, parameter_features, plus, prepend_token, prepend_tokens,
        relu, relu_features, reshape_rows, rows_from_tokens, scale_features, scale_loss, scaled, select_rows,
        select_token, shifted, slice_columns, slice_rows, softmax, square, square_root, sum_all, sum_losses,
        sum_over, sum_weighted_by, times, to_rows, tokens_from_map, tokens_from_rows, top1_row, transpose,
        update_on_device, variance_over, weighted_sum,
    },
    tape::{GradientWatch, Gradients, Recording, TakeGradient},
    values::{Buffer, FeatureMap, Parameter, ParameterKind, Tokens, TorchValues},
};

/// Where tensors live: dfdx's CPU device, or its CUDA device in a build with the feature `cuda`.
pub type Device = AutoDevice;
/// One row of features an image, `(N, D)`; recorded or not.
pub type Features = Tensor<(usize, usize), f32, Device, Recording>;
/// `(N, D)`, never recorded.
pub type Matrix = Tensor<(usize, usize), f32, Device, NoneTape>;
/// A loss.
pub type Scalar = Tensor<(), f32, Device, Recording>;
