//! Layer normalization.

use crate::{
    array::{Array, to_add_to},
    error::Result,
    launch::Launch,
    memory::Memory,
    pointwise::typed,
    program::Program,
};

pub(crate) static LAYER_NORM: Program = Program::new(
    "tokens_layer_norm",
    include_str!("../kernels/tokens_layer_norm.cu"),
    include_str!("../kernels/tokens_layer_norm_typed.cu"),
);

/// What a layer norm keeps for its backward pass, beside its input: the mean, and one over the standard deviation, of every row.
#[derive(Debug)]
pub struct Statistics(Memory<f32>);

/// Rows of `D` values, `D` being the length of `scale` and of `shift`, normalized; and their statistics, if they are kept.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the lengths do not fit.
pub fn forward(
    x: &Array,
    scale: &Memory<f32>,
    shift: &Memory<f32>,
    eps: f32,
    is_kept: bool,
) -> Result<(Array, Option<Statistics>)> {
    let d = scale.len();
    let n_rows = x.len() / d;
    assert!(shift.len() == d && x.len() == n_rows * d, "rows are as long as scale and shift");
    let mut y = Array::unwritten(x.len(), x.precision())?;
    let mut statistics = is_kept.then(|| Memory::unwritten(2 * n_rows)).transpose()?;
    // SAFETY: there are so many rows of that length, and two numbers for each.
    unsafe {
        Launch::new(&LAYER_NORM, typed!(x.precision(), "norm_forward"))
            .read_array(x)
            .read(scale)
            .read(shift)
            .write_array(&mut y)
            .write_if(statistics.as_mut())
            .float(eps)
            .long(n_rows)
            .int(d)
            .warps(n_rows)
    }?;
    Ok((y, statistics.map(Statistics)))
}

/// What is computed of the gradients.
#[derive(Debug)]
pub struct Wanted {
    /// That of the input.
    pub x: bool,
    /// What has reached the input before.
    pub before: Option<Array>,
    /// That of the scale.
    pub scale: bool,
    /// That of the shift.
    pub shift: bool,
}

/// The gradients of a layer norm; that of the input is of its precision.
#[derive(Debug)]
pub struct Gradients {
    /// Of the input.
    pub x: Option<Array>,
    /// Of the scale.
    pub scale: Option<Array>,
    /// Of the shift.
    pub shift: Option<Array>,
}

/// From the gradient of [`forward`]'s output to those that are wanted.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the lengths do not fit.
pub fn backward(
    Statistics(statistics): &Statistics,
    x: &Array,
    scale: &Memory<f32>,
    gradient: Array,
    wanted: Wanted,
) -> Result<Gradients> {
    /// A number and not the device's own, so that sums are cut alike on all.
    const MOST_CHUNKS: usize = 132 * 4;
    /// Rows that a block works on at a time.
    const GROUP: usize = 8;
    /// Columns that a block works on.
    const SLAB: usize = 1024;
    let d = scale.len();
    let n_rows = x.len() / d;
    assert!(x.len() == n_rows * d && gradient.len() == x.len(), "rows are as long as the scale");
    assert!(statistics.len() >= 2 * n_rows, "each row has its statistics");
    let gradient = gradient.into_precision(x.precision())?;
    let rows_of_chunk = n_rows.div_ceil(MOST_CHUNKS).max(1).next_multiple_of(GROUP);
    let n_chunks = n_rows.div_ceil(rows_of_chunk).max(1);
    let wants_sums = wanted.scale || wanted.shift;
    let mut partial = wants_sums.then(|| Memory::<f32>::unwritten(n_chunks * 2 * d)).transpose()?;
    // What has reached the input by another branch grows where it is.
    let (mut by_x, adds) = match wanted.x {
        true => to_add_to(wanted.before, x.len(), x.precision()).map(|(sum, adds)| (Some(sum), adds))?,
        false => (None, false),
    };
    // SAFETY: there are so many rows of that length, two numbers for each, and two rows of sums for each chunk.
    unsafe {
        Launch::new(&LAYER_NORM, typed!(x.precision(), "norm_backward"))
            .read_array(&gradient)
            .read_array(x)
            .read(statistics)
            .read(scale)
            .write_array_if(by_x.as_mut())
            .flag(adds)
            .write_if(partial.as_mut())
            .long(n_rows)
            .int(d)
            .int(rows_of_chunk)
            .blocks(n_chunks, d.div_ceil(SLAB), 1)
    }?;
    let mut by_scale = wanted.scale.then(|| Memory::unwritten(d)).transpose()?;
    let mut by_shift = wanted.shift.then(|| Memory::unwritten(d)).transpose()?;
    if let Some(partial) = partial {
        // SAFETY: as above, and each gradient is a row.
        unsafe {
            Launch::new(&LAYER_NORM, "norm_finish")
                .read(&partial)
                .write_if(by_scale.as_mut())
                .write_if(by_shift.as_mut())
                .int(n_chunks)
                .int(d)
                .blocks(d.div_ceil(32), 2, 1)
        }?;
    }
    Ok(Gradients { x: by_x, scale: by_scale.map(Array::F32), shift: by_shift.map(Array::F32) })
}
