//! Average pool.

use std::sync::Arc;

use super::{output_layout, window};
use crate::{
    ConvGeometry, FeatureMap, Gradients, OpError, device::MapSlot, layout::Layout, memory::build,
    values::Values,
};

/// The mean of each window; padding counts as zeros, which is PyTorch's default.
///
/// # Errors
///
/// When the window does not fit, or the padding is more than half of it.
pub fn average_pool(x: FeatureMap, geometry: ConvGeometry) -> Result<FeatureMap, OpError> {
    let to = output_layout("average_pool", &x, geometry)?;
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::average_pool(x, geometry, to);
    }
    let from = x.layout;
    let values = Arc::new(Values::new(means(geometry, from, to, &x.values.whole()), x.precision()));
    let slot = MapSlot::new(x.device(), to.len());
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let slot = x.slot.clone();
        move |gradients: &mut Gradients, gradient: Values| {
            let sum = spread(geometry, from, to, &gradient.whole());
            slot.add(gradients, Values::new(sum, gradient.precision()))
        }
    });
    Ok(FeatureMap::output(slot, to, values, recording, backward))
}

fn share(geometry: ConvGeometry) -> f32 {
    1.0 / (geometry.kernel.0 * geometry.kernel.1) as f32
}

fn means(geometry: ConvGeometry, from: Layout, to: Layout, x: &[f32]) -> Vec<f32> {
    let share = share(geometry);
    build(&to.block_lens(), |block, out| {
        let row_len = to.n_in_block(block) * to.c;
        let x = from.block(x, block);
        for (pos, out) in out.chunks_exact_mut(row_len).enumerate() {
            for read in window(geometry, from, (pos / to.w, pos % to.w)) {
                for (out, value) in out.iter_mut().zip(&x[read * row_len..][..row_len]) {
                    *out += value;
                }
            }
            for out in out {
                *out *= share;
            }
        }
    })
}

fn spread(geometry: ConvGeometry, from: Layout, to: Layout, gradient: &[f32]) -> Vec<f32> {
    let share = share(geometry);
    build(&from.block_lens(), |block, sum| {
        let row_len = to.n_in_block(block) * to.c;
        for (pos, gradient) in to.block(gradient, block).chunks_exact(row_len).enumerate() {
            for read in window(geometry, from, (pos / to.w, pos % to.w)) {
                for (sum, gradient) in sum[read * row_len..][..row_len].iter_mut().zip(gradient) {
                    *sum += gradient * share;
                }
            }
        }
    })
}
