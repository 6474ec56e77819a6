//! Operations on the CUDA device: values stay on it from one operation to the next.
//!
//! [`Context`](context::Context) is the device and what belongs to it. Kernels are CUDA C in `kernels/`, compiled when first
//! used; each file beside this one is what one group of operations makes of them, as safe functions that check shapes.
//! Feature maps lie `(N, H, W, C)`, one image after the other.

#![allow(unsafe_code, reason = "a kernel reads and writes memory that the compiler knows nothing of")]

mod array;
mod blas;
mod columns;
mod context;
mod contrast;
mod conv;
mod features;
mod launch;
mod linear;
mod loss;
mod memory_pool;
mod norm;
mod optimize;
mod pointwise;
mod pool;
mod program;
mod self_test;
mod staging;
mod status;
mod tensor;
mod tokens;
mod versions;

use self::program::Program;
pub(crate) use self::{
    array::{Array, download, duplicate, upload, zeros},
    context::{allow_tensor_float, is_used, open},
    contrast::{info_nce_in_batch, info_nce_queue},
    conv::conv2d,
    features::{concat_rows, gradient_of_rows, l2_normalize, relu_features, select_rows, write_around},
    linear::linear,
    loss::{loss_with_gradient, scale_loss, sum_losses, sum_weighted_by, weighted_sum},
    norm::{batch_norm, batch_norm_features},
    optimize::{blend_all, largest_of_each, update},
    pointwise::{add_to, cast, gather_rows, relu, sum},
    pool::{average_pool, global_average_pool, max_pool},
    self_test::self_test,
    staging::upload_image_batch,
    status::{give_back_memory, out_of_memory, peak_memory, status, synchronize},
    tokens::{
        add_row, attention, keep_token, layer_norm, linear as linear_tokens, mean_tokens, prepend_token,
    },
};

/// All kernels but those of tokens. A program that is loaded and is not here fails the test that loads it.
static PROGRAMS: [&Program; 16] = [
    &columns::COLUMNS,
    &contrast::CONTRAST,
    &conv::F32_64,
    &conv::F32_128,
    &conv::F32_ANY,
    &conv::EXACT_64,
    &conv::EXACT_ANY,
    &conv::BF16_64,
    &conv::BF16_128,
    &conv::BF16_ANY,
    &features::FEATURES,
    &loss::LOSS,
    &norm::NORM,
    &optimize::OPTIMIZE,
    &pointwise::POINTWISE,
    &pool::POOL,
];

fn programs() -> impl Iterator<Item = &'static Program> {
    PROGRAMS.iter().chain(&tokens::PROGRAMS).copied()
}

/// The name of each file of kernels, and its source as the compiler gets it.
pub(crate) fn kernel_sources() -> Vec<(&'static str, String)> {
    programs().map(|program| (program.name(), program.source())).collect()
}
