//! Max pool.

use std::sync::Arc;

use super::{output_layout, window};
use crate::{
    ConvGeometry, FeatureMap, Gradients, OpError, device::GradientSlot, layout::Layout, memory::build,
    values::Values,
};

/// The largest value of each window; padding is never the largest.
///
/// The gradient goes to the first of equal values, row after row, as in PyTorch.
///
/// # Errors
///
/// When the window does not fit, or the padding is more than half of it.
pub fn max_pool(x: FeatureMap, geometry: ConvGeometry) -> Result<FeatureMap, OpError> {
    let to = output_layout("max_pool", &x, geometry)?;
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::max_pool(x, geometry, to);
    }
    let from = x.layout;
    let values = Arc::new(Values::new(largest(geometry, from, to, &x.values.whole()), x.precision()));
    let slot = GradientSlot::new(x.device(), to.len());
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let (slot, x, output) = (x.slot.clone(), Arc::clone(&x.values), Arc::clone(&values));
        move |gradients: &mut Gradients, gradient: Vec<f32>| {
            slot.add(
                gradients,
                give_to_largest(geometry, (from, &x.whole()), (to, &output.whole()), &gradient),
            )
        }
    });
    Ok(FeatureMap::output(slot, to, values, recording, backward))
}

fn largest(geometry: ConvGeometry, from: Layout, to: Layout, x: &[f32]) -> Vec<f32> {
    build(&to.block_lens(), |block, out| {
        let row_len = to.n_in_block(block) * to.c;
        let x = from.block(x, block);
        for (pos, out) in out.chunks_exact_mut(row_len).enumerate() {
            out.fill(f32::NEG_INFINITY);
            for read in window(geometry, from, (pos / to.w, pos % to.w)) {
                for (out, &value) in out.iter_mut().zip(&x[read * row_len..][..row_len]) {
                    *out = if value > *out || value.is_nan() { value } else { *out };
                }
            }
        }
    })
}

fn give_to_largest(
    geometry: ConvGeometry,
    (from, x): (Layout, &[f32]),
    (to, output): (Layout, &[f32]),
    gradient: &[f32],
) -> Vec<f32> {
    build(&from.block_lens(), |block, sum| {
        let row_len = to.n_in_block(block) * to.c;
        let (x, output) = (from.block(x, block), to.block(output, block));
        let mut left = vec![0.0; row_len];
        for (pos, gradient) in to.block(gradient, block).chunks_exact(row_len).enumerate() {
            let output = &output[pos * row_len..][..row_len];
            left.copy_from_slice(gradient);
            for read in window(geometry, from, (pos / to.w, pos % to.w)) {
                let range = read * row_len..(read + 1) * row_len;
                let values = sum[range.clone()].iter_mut().zip(&x[range]);
                for (((sum, x), output), left) in values.zip(output).zip(&mut left) {
                    let is_largest = x == output;
                    *sum += if is_largest { *left } else { 0.0 };
                    *left = if is_largest { 0.0 } else { *left };
                }
            }
        }
    })
}
