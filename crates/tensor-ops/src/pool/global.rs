//! Global average pool.

use dfdx::tensor::{PutTape, Tape, TensorFromVec};

use crate::{
    FeatureMap, Features, OpError, Precision, device, layout::Layout, memory::build, values::Values,
};

/// The mean of each channel over all positions, `(N, H, W, C)` to `(N, C)`.
///
/// # Errors
///
/// When the device fails.
pub fn global_average_pool(x: FeatureMap) -> Result<Features, OpError> {
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::global_average_pool(x);
    }
    let from = x.layout;
    let y = x.device().try_tensor_from_vec(means(from, &x.values.whole()), (from.n, from.c))?;
    let (x, mut recording) = x.split_recording();
    if x.needs_gradient && recording.is_on() {
        let (precision, x, out) = (x.precision(), x.slot.clone(), y.ghost());
        recording.add_backward_op(move |gradients| {
            let gradient = device::take(gradients.get_or_alloc_mut(&out)?)?;
            x.add(gradients, spread(from, &gradient, precision))
        });
    }
    Ok(y.put_tape(recording))
}

fn means(from: Layout, x: &[f32]) -> Vec<f32> {
    let share = 1.0 / (from.h * from.w) as f32;
    let to = Layout { h: 1, w: 1, ..from };
    // With one position, blocks of images lie in the order of images.
    build(&to.block_lens(), |block, out| {
        for position in from.block(x, block).chunks_exact(out.len()) {
            for (out, value) in out.iter_mut().zip(position) {
                *out += value;
            }
        }
        for out in out {
            *out *= share;
        }
    })
}

fn spread(from: Layout, gradient: &[f32], precision: Precision) -> Values {
    let share = 1.0 / (from.h * from.w) as f32;
    let to = Layout { h: 1, w: 1, ..from };
    let (tasks, lens) = from.tasks();
    Values::build(precision, &lens, |task_idx, sum| {
        let block = tasks[task_idx].block;
        let gradient = to.block(gradient, block);
        for position in sum.chunks_exact_mut(gradient.len()) {
            for (sum, gradient) in position.iter_mut().zip(gradient) {
                *sum = gradient * share;
            }
        }
    })
}
