//! Max pool.

use std::{ops::Range, sync::Arc};

use super::{output_layout, window};
use crate::{
    ConvGeometry, FeatureMap, Gradients, OpError,
    device::MapSlot,
    layout::{Layout, PixelRows},
    memory::build,
    simd::{Element, Family, Kernel, Lanes},
    values::{Lent, Operand, Values},
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
    let values = Arc::new(match x.values.lend() {
        Lent::F32(x) => Values::F32(largest(geometry, from, to, x)),
        Lent::Bf16(x) => Values::Bf16(largest(geometry, from, to, x)),
    });
    let slot = MapSlot::new(x.device(), to.len());
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let (slot, x, output) = (x.slot.clone(), Arc::clone(&x.values), Arc::clone(&values));
        move |gradients: &mut Gradients, gradient: Values| {
            let sum = match (x.lend(), output.lend(), gradient.lend()) {
                (Lent::Bf16(x), Lent::Bf16(output), Lent::Bf16(gradient)) => {
                    give_to_largest(geometry, (from, x), (to, output), gradient)
                }
                (x, output, gradient) => {
                    let (x, output, gradient) = (x.whole(), output.whole(), gradient.whole());
                    give_to_largest(geometry, (from, &*x), (to, &*output), &gradient)
                }
            };
            slot.add(gradients, sum)
        }
    });
    Ok(FeatureMap::output(slot, to, values, recording, backward))
}

fn largest<E: Element>(geometry: ConvGeometry, from: Layout, to: Layout, x: &[E]) -> Vec<E> {
    let (tasks, lens) = to.tasks();
    build(&lens, |task_idx, out| {
        let PixelRows { block, ref y } = tasks[task_idx];
        let x = from.block(x, block);
        Family::detected().run(Largest { geometry, from, to, x, first_y: y.start, out });
    })
}

/// The largest values of some rows of windows of one block.
struct Largest<'a, E> {
    geometry: ConvGeometry,
    from: Layout,
    to: Layout,
    x: &'a [E],
    first_y: usize,
    out: &'a mut [E],
}

impl<E: Element> Kernel for Largest<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { geometry, from, to, x, first_y, out } = self;
        let pixel_len = x.len() / (from.h * from.w);
        for (pos, out) in out.chunks_exact_mut(pixel_len).enumerate() {
            out.fill(E::nearest(f32::NEG_INFINITY));
            for read in window(geometry, from, (first_y + pos / to.w, pos % to.w)) {
                for (out, &value) in out.iter_mut().zip(&x[read * pixel_len..][..pixel_len]) {
                    let (value, before) = (value.single(), out.single());
                    *out = E::nearest(if value > before || value.is_nan() { value } else { before });
                }
            }
        }
    }
}

fn give_to_largest<E: Operand>(
    geometry: ConvGeometry,
    (from, x): (Layout, &[E]),
    (to, output): (Layout, &[E]),
    gradient: &[E],
) -> Values {
    let (tasks, lens) = from.tasks();
    Values::build(E::PRECISION, &lens, |task_idx, sum| {
        let PixelRows { block, ref y } = tasks[task_idx];
        Family::detected().run(GiveToLargest {
            geometry,
            from,
            to,
            x: from.block(x, block),
            output: to.block(output, block),
            gradient: to.block(gradient, block),
            y: y.clone(),
            sum,
        });
    })
}

/// The gradients of some rows of pixels of one block.
struct GiveToLargest<'a, E> {
    geometry: ConvGeometry,
    from: Layout,
    to: Layout,
    x: &'a [E],
    output: &'a [E],
    gradient: &'a [E],
    y: Range<usize>,
    sum: &'a mut [f32],
}

impl<E: Element> Kernel for GiveToLargest<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { geometry, from, to, x, output, gradient, y, sum } = self;
        let pixel_len = x.len() / (from.h * from.w);
        let own = y.start * from.w..y.end * from.w;
        let mut left = vec![0.0; pixel_len];
        for pos in 0..to.h * to.w {
            // The whole of a window that reaches into the rows: what is above them may have the gradient already.
            if !window(geometry, from, (pos / to.w, pos % to.w)).any(|read| own.contains(&read)) {
                continue;
            }
            let range = pos * pixel_len..(pos + 1) * pixel_len;
            let output = &output[range.clone()];
            for (left, gradient) in left.iter_mut().zip(&gradient[range]) {
                *left = gradient.single();
            }
            for read in window(geometry, from, (pos / to.w, pos % to.w)) {
                let x = &x[read * pixel_len..][..pixel_len];
                if own.contains(&read) {
                    let sum = &mut sum[(read - own.start) * pixel_len..][..pixel_len];
                    for (((sum, x), output), left) in sum.iter_mut().zip(x).zip(output).zip(&mut left) {
                        let is_largest = x.single() == output.single();
                        *sum += if is_largest { *left } else { 0.0 };
                        *left = if is_largest { 0.0 } else { *left };
                    }
                } else {
                    for ((x, output), left) in x.iter().zip(output).zip(&mut left) {
                        *left = if x.single() == output.single() { 0.0 } else { *left };
                    }
                }
            }
        }
    }
}
