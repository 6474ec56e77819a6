//! Layer normalization.

use std::sync::Arc;

use cudarc::driver::CudaSlice;

use super::super::{
    array::{Array, unwritten},
    launch::Launch,
    pointwise::typed,
    program::Program,
};
use crate::{Gradients, LayerNorm, OpError, Tokens, device::GradientSlot, values::Values};

pub(super) static LAYER_NORM: Program = Program::new(
    "tokens_layer_norm",
    include_str!("../kernels/tokens_layer_norm.cu"),
    include_str!("../kernels/tokens_layer_norm_typed.cu"),
);

/// See [`layer_norm`](crate::layer_norm), which has checked the sizes.
pub(crate) fn layer_norm(x: Tokens, norm: &LayerNorm) -> Result<Tokens, OpError> {
    let shape = x.shape();
    let device = x.device().clone();
    let (x, recording) = x.split_recording();
    let (n_rows, d) = (shape[0] * shape[1], shape[2]);
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    let wants_scale = norm.scale.is_trainable().then(|| norm.scale.slot.clone());
    let wants_shift = norm.shift.is_trainable().then(|| norm.shift.slot.clone());
    let wants_any = wants_x.is_some() || wants_scale.is_some() || wants_shift.is_some();
    let input = x.values.array();
    let mut y = Array::unwritten(n_rows * d, input.precision())?;
    let mut statistics = (wants_any && recording.is_on()).then(|| unwritten(2 * n_rows)).transpose()?;
    Launch::new(&LAYER_NORM, typed!(input.precision(), "norm_forward"))
        .read_array(input)
        .read(norm.scale.values.on_device()?)
        .read(norm.shift.values.on_device()?)
        .write_array(&mut y)
        .write_if(statistics.as_mut())
        .float(norm.eps)
        .long(n_rows)
        .int(d)
        .warps(n_rows)?;
    let backward = statistics.map(|statistics| {
        let (x, scale) = (x.values, Arc::clone(&norm.scale.values));
        move |gradients: &mut Gradients, gradient: CudaSlice<f32>| {
            let backward = Backward {
                gradient: &gradient,
                x: x.array(),
                statistics: &statistics,
                scale: scale.on_device()?,
                n_rows,
                d,
            };
            backward.run(gradients, wants_x, wants_scale, wants_shift)
        }
    });
    Tokens::output_on_device(&device, shape, Arc::new(Values::Device(y)), recording, backward)
}

struct Backward<'a> {
    gradient: &'a CudaSlice<f32>,
    x: &'a Array,
    /// The mean, and one over the standard deviation, of every row.
    statistics: &'a CudaSlice<f32>,
    scale: &'a CudaSlice<f32>,
    n_rows: usize,
    d: usize,
}

impl Backward<'_> {
    fn run(
        self,
        gradients: &mut Gradients,
        wants_x: Option<GradientSlot>,
        wants_scale: Option<GradientSlot>,
        wants_shift: Option<GradientSlot>,
    ) -> Result<(), dfdx::tensor::CudaError> {
        /// Four blocks for each multiprocessor of a large device, as many as have room there at a time.
        const MOST_CHUNKS: usize = 132 * 4;
        /// Rows that a block works on at a time.
        const GROUP: usize = 8;
        /// Columns that a block works on.
        const SLAB: usize = 1024;
        let Self { gradient, x, statistics, scale, n_rows, d } = self;
        let rows_of_chunk = n_rows.div_ceil(MOST_CHUNKS).next_multiple_of(GROUP);
        let n_chunks = n_rows.div_ceil(rows_of_chunk);
        let wants_sums = wants_scale.is_some() || wants_shift.is_some();
        let mut partial = wants_sums.then(|| unwritten::<f32>(n_chunks * 2 * d)).transpose()?;
        // What has reached the input by another branch grows where it is.
        let before = match &wants_x {
            Some(slot) => slot.take_slice(gradients)?,
            None => None,
        };
        let adds = before.is_some();
        let mut by_x = match (&wants_x, before) {
            (Some(_), None) => Some(unwritten(n_rows * d)?),
            (_, before) => before,
        };
        Launch::new(&LAYER_NORM, typed!(x.precision(), "norm_backward"))
            .read(gradient)
            .read_array(x)
            .read(statistics)
            .read(scale)
            .write_if(by_x.as_mut())
            .int(usize::from(adds))
            .write_if(partial.as_mut())
            .long(n_rows)
            .int(d)
            .int(rows_of_chunk)
            .blocks(n_chunks, d.div_ceil(SLAB), 1)?;
        if let Some(partial) = partial {
            let mut by_scale = wants_scale.is_some().then(|| unwritten(d)).transpose()?;
            let mut by_shift = wants_shift.is_some().then(|| unwritten(d)).transpose()?;
            Launch::new(&LAYER_NORM, "norm_finish")
                .read(&partial)
                .write_if(by_scale.as_mut())
                .write_if(by_shift.as_mut())
                .int(n_chunks)
                .int(d)
                .blocks(d.div_ceil(32), 2, 1)?;
            for (slot, sum) in [(wants_scale, by_scale), (wants_shift, by_shift)] {
                if let (Some(slot), Some(sum)) = (slot, sum) {
                    slot.add_slice(gradients, sum)?;
                }
            }
        }
        match (wants_x, by_x) {
            (Some(slot), Some(by_x)) => slot.put_slice(gradients, by_x),
            _ => Ok(()),
        }
    }
}
