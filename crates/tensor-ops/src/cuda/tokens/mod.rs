//! Rows of tokens, and what a transformer does to them.

mod attention;
mod embed;
mod layer_norm;
mod linear;
mod pool;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    attention::attention,
    embed::{add_row, prepend_token},
    layer_norm::layer_norm,
    linear::linear,
    pool::{keep_token, mean_tokens},
};
use super::{launch::Launch, program::Program};

/// All kernels of these files.
pub(super) static PROGRAMS: [&Program; 4] =
    [&ROWS, &attention::ATTENTION, &layer_norm::LAYER_NORM, &linear::LINEAR];

/// What moves and averages tokens.
static ROWS: Program = Program::new(
    "tokens_rows",
    include_str!("../kernels/tokens_rows.cu"),
    include_str!("../kernels/tokens_rows_typed.cu"),
);

/// A grid of as many blocks as give each of `len` elements of an image a thread, for each of `n` images.
fn over_images(launch: Launch, len: usize, n: usize) -> Result<(), dfdx::tensor::CudaError> {
    /// What a grid has at most across.
    const MOST: usize = 65535;
    launch.blocks(len.div_ceil(super::launch::BLOCK as usize), n.min(MOST), 1)
}
