//! Operations with gradients: each checks its input, computes with a [`Backend`](crate::backend::Backend), and records its
//! backward pass if its input is recorded.

mod blend;
mod clip;
mod conv;
mod info_nce;
mod info_nce_in_batch;
mod l2_normalize;
mod largest;
mod linear;
mod linear_rows;
mod loss;
mod norm;
mod pointwise;
mod pool;
mod rows;
mod tokens;
mod update_rule;

pub use self::{
    blend::blend_values,
    clip::clip_gradients,
    conv::{conv2d, conv2d_before_norm, grouped_conv2d, grouped_conv2d_before_norm},
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
    pointwise::{add, add_relu, relu, relu_features},
    pool::{average_pool, global_average_pool, max_pool},
    rows::{Rows, concat_rows, features_from_rows, gradient_of_rows, select_rows, to_rows},
    tokens::{
        LayerNorm, add_bias, add_position, add_scaled_images, attention, keep_token, layer_norm,
        linear_add_tokens, linear_gelu_tokens, linear_tokens, mean_tokens, prepend_token, prepend_tokens,
        scale_features, select_token, tokens_from_map,
    },
    update_rule::{DeviceUpdate, LayerRate, UpdateRule, blend_on_device, update_on_device},
};
