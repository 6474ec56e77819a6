//! From images to tokens.

use std::sync::Arc;

use cudarc::driver::CudaSlice;

use super::{
    super::{
        array::Array,
        columns::sum_rows,
        launch::{BLOCK, Launch},
        pointwise::typed,
    },
    ROWS, over_images,
    pool::take_gradient,
};
use crate::{Gradients, OpError, Parameter, Tokens, values::Values};

/// See [`add_position`](crate::add_position) and [`add_bias`](crate::add_bias), which have checked the sizes.
pub(crate) fn add_row(x: Tokens, row: &Parameter) -> Result<Tokens, OpError> {
    /// Blocks that keep a large device busy.
    const MOST_BLOCKS: usize = 132 * 16;
    let (device, shape) = (x.device().clone(), x.shape());
    let (x, recording) = x.split_recording();
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    let wants_row = row.is_trainable().then(|| row.slot.clone());
    let len = row.n_elements();
    let n_rows = x.values.len() / len;
    let precision = x.precision();
    // Where the values are, if no other handle is left.
    let (mut y, others) = match Arc::try_unwrap(x.values) {
        Ok(Values::Device(array)) => (array, None),
        Ok(values) => (Array::unwritten(n_rows * len, precision)?, Some(Arc::new(values))),
        Err(values) => (Array::unwritten(n_rows * len, precision)?, Some(values)),
    };
    let from = others.as_ref().map_or(y.pointer(), |values| values.array().pointer());
    let n_blocks = len.div_ceil(BLOCK as usize);
    Launch::new(&ROWS, typed!(precision, "add_row"))
        .pointer(from)
        .read(row.values.on_device()?)
        .write_array(&mut y)
        .long(n_rows)
        .int(len)
        .blocks(n_blocks, n_rows.min((MOST_BLOCKS / n_blocks).max(1)), 1)?;
    let backward = (wants_x.is_some() || wants_row.is_some()).then_some(
        move |gradients: &mut Gradients, gradient: CudaSlice<f32>| {
            if let Some(slot) = wants_row {
                slot.add_slice(gradients, sum_rows(&gradient, len)?)?;
            }
            match wants_x {
                Some(slot) => slot.add_slice(gradients, gradient),
                None => Ok(()),
            }
        },
    );
    Tokens::output_on_device(&device, shape, Arc::new(Values::Device(y)), recording, backward)
}

/// See [`prepend_token`](crate::prepend_token), which has checked the sizes.
pub(crate) fn prepend_token(x: Tokens, token: &Parameter) -> Result<Tokens, OpError> {
    let [n, t, d] = x.shape();
    let precision = x.precision();
    let mut y = Array::unwritten(n * (t + 1) * d, precision)?;
    let launch = Launch::new(&ROWS, typed!(precision, "prepend_token"))
        .read_array(x.values.array())
        .read(token.values.on_device()?)
        .write_array(&mut y)
        .int(n)
        .int(t)
        .int(d);
    over_images(launch, (t + 1) * d, n)?;
    let device = x.device().clone();
    let (x, recording) = x.split_recording();
    let wants_token = token.is_trainable().then(|| token.slot.clone());
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    drop(x);
    let backward = (wants_x.is_some() || wants_token.is_some()).then_some(
        move |gradients: &mut Gradients, gradient: CudaSlice<f32>| {
            let take = |first, count| take_gradient(&gradient, [n, t + 1, d], first, count);
            if let Some(slot) = wants_token {
                slot.add_slice(gradients, sum_rows(&take(0, 1)?, d)?)?;
            }
            match wants_x {
                Some(slot) => slot.add_slice(gradients, take(1, t)?),
                None => Ok(()),
            }
        },
    );
    Tokens::output_on_device(&device, [n, t + 1, d], Arc::new(Values::Device(y)), recording, backward)
}
