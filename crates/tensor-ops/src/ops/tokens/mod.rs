//! What a transformer does to its tokens.

mod as_rows;
mod attention;
mod branch;
mod embed;
mod layer_norm;
mod linear;
mod pool;
#[cfg(test)]
mod tests;

pub use self::{
    as_rows::{rows_from_tokens, tokens_from_rows},
    attention::attention,
    branch::{add_scaled_images, scale_features},
    embed::{add_bias, add_position, map_from_tokens, prepend_token, prepend_tokens, tokens_from_map},
    layer_norm::{LayerNorm, layer_norm, layer_norm_features},
    linear::{linear_add_tokens, linear_gelu_tokens, linear_tokens},
    pool::{keep_token, mean_tokens, select_token},
};
