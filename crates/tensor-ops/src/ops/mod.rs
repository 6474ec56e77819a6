//! Operations with gradients: each checks its input, computes with a [`Backend`](crate::backend::Backend), and records its
//! backward pass if its input is recorded.

mod arithmetic;
mod blend;
mod clip;
mod conv;
mod custom;
mod elementwise;
mod fork;
mod info_nce;
mod info_nce_in_batch;
mod l2_normalize;
mod largest;
mod linear;
mod linear_rows;
mod loss;
mod norm;
mod over_axis;
mod parameter_features;
mod parts_of;
mod pointwise;
mod pool;
mod products;
mod rows;
mod softmax;
mod tokens;
mod top1;
mod update_rule;
mod whole;

pub use self::{
    arithmetic::{minus, over, plus, times},
    blend::blend_values,
    clip::clip_gradients,
    conv::{conv2d, conv2d_before_norm, grouped_conv2d, grouped_conv2d_before_norm},
    custom::custom,
    elementwise::{abs, clamp, exp, log, scaled, shifted, square, square_root},
    fork::{constant, detach, fork},
    info_nce::{InfoNce, KeepLogits, info_nce_queue},
    info_nce_in_batch::info_nce_in_batch,
    l2_normalize::l2_normalize,
    largest::{largest_gradients, largest_value},
    linear::linear,
    linear_rows::{LinearGradient, linear_rows, linear_rows_gradient},
    loss::{
        backward, backward_onto, backward_watched, loss_with_gradient, scale_loss, sum_losses,
        sum_weighted_by, weighted_sum,
    },
    norm::{BatchNorm, batch_norm, batch_norm_add_relu, batch_norm_features, batch_norm_relu},
    over_axis::{Axis, mean_over, norm_over, sum_over, variance_over},
    parameter_features::parameter_features,
    parts_of::{
        concat_columns, concat_rows_of, diagonal, gather_rows, reshape_rows, slice_columns, slice_rows,
        transpose,
    },
    pointwise::{add, add_relu, relu, relu_features},
    pool::{average_pool, global_average_pool, max_pool},
    products::{covariance, matmul, matmul_transposed},
    rows::{Rows, concat_rows, features_from_rows, gradient_of_rows, select_rows, to_rows},
    softmax::{log_softmax, log_sum_exp, softmax},
    tokens::{
        LayerNorm, add_bias, add_position, add_scaled_images, attention, keep_token, layer_norm,
        layer_norm_features, linear_add_tokens, linear_gelu_tokens, linear_tokens, map_from_tokens,
        mean_tokens, prepend_token, prepend_tokens, rows_from_tokens, scale_features, select_token,
        tokens_from_map, tokens_from_rows,
    },
    top1::top1_row,
    update_rule::{DeviceUpdate, LayerRate, UpdateRule, blend_on_device, update_on_device},
    whole::{mean_all, number, sum_all},
};
