//! Global average pool.

use super::CHUNK;
use crate::{
    Layout, Precision,
    layout::PixelRows,
    memory::{build, build_filled},
    simd::{Element, Family, Filled, Filling, Kernel, Lanes, for_registers, read_some},
    values::{Lent, Values},
};

/// The mean of each channel over all positions, `(N, C)`.
///
/// # Panics
///
/// When there are not as many values as `from` has.
pub fn global_average(family: Family, from: Layout, x: &Values) -> Vec<f32> {
    assert_eq!(x.len(), from.len(), "there are as many values as the layout has");
    match x.lend() {
        Lent::F32(x) => means(family, from, x),
        Lent::Bf16(x) => means(family, from, x),
    }
}

/// The gradient of [`global_average`]'s input, which is kept in `precision`, from that of the means, `(N, C)`.
///
/// # Panics
///
/// When there is not a mean for each channel of each image.
pub fn global_average_gradient(
    family: Family,
    from: Layout,
    gradient: &[f32],
    precision: Precision,
) -> Values {
    assert_eq!(gradient.len(), of_means(from).len(), "there is a mean for each channel of each image");
    match precision {
        Precision::F32 => Values::F32(spread(family, from, gradient)),
        Precision::Bf16 => Values::Bf16(spread(family, from, gradient)),
    }
}

/// Means that one task computes: a block of many channels is work for several threads.
const POOLED_LEN: usize = 2048;

fn share(from: Layout) -> f32 {
    1.0 / (from.h * from.w) as f32
}

/// With one position, blocks of images lie in the order of images.
fn of_means(from: Layout) -> Layout {
    Layout { h: 1, w: 1, ..from }
}

fn means<E: Element>(family: Family, from: Layout, x: &[E]) -> Vec<f32> {
    let to = of_means(from);
    let (mut tasks, mut lens) = (Vec::new(), Vec::new());
    for block in 0..to.n_blocks() {
        let pixel_len = to.block_len(block);
        for start in (0..pixel_len).step_by(POOLED_LEN) {
            tasks.push((block, start));
            lens.push(POOLED_LEN.min(pixel_len - start));
        }
    }
    build(&lens, |task_idx, out| {
        let (block, start) = tasks[task_idx];
        let (x, pixel_len) = (from.block(x, block), to.block_len(block));
        family.run(Mean { x, pixel_len, start, share: share(from), out });
    })
}

/// The means of some channels and images of a block.
struct Mean<'a, E> {
    x: &'a [E],
    pixel_len: usize,
    /// Inside a pixel.
    start: usize,
    share: f32,
    out: &'a mut [f32],
}

impl<E: Element> Kernel for Mean<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { x, pixel_len, start, share, out } = self;
        for (chunk, out) in out.chunks_mut(CHUNK).enumerate() {
            let start = start + chunk * CHUNK;
            for pixel in x.chunks_exact(pixel_len) {
                for (sum, value) in out.iter_mut().zip(&pixel[start..]) {
                    *sum += value.single();
                }
            }
            for mean in out {
                *mean *= share;
            }
        }
    }
}

fn spread<E: Element>(family: Family, from: Layout, gradient: &[f32]) -> Vec<E> {
    let (tasks, lens) = from.tasks();
    build_filled(&lens, |task_idx, out| {
        let PixelRows { block, ref y } = tasks[task_idx];
        let gradient = of_means(from).block(gradient, block);
        family.run(Spread { gradient, n_pixels: y.len() * from.w, share: share(from), out })
    })
}

/// The same share of a gradient for each of some pixels.
struct Spread<'a, 'id, E> {
    gradient: &'a [f32],
    n_pixels: usize,
    share: f32,
    out: Filling<'id, 'a, E>,
}

impl<'id, E: Element> Kernel for Spread<'_, 'id, E> {
    type Output = Filled<'id>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Filled<'id> {
        let Self { gradient, n_pixels, share, mut out } = self;
        let share = L::splat(share);
        for _ in 0..n_pixels {
            for_registers!(L, gradient.len(), |at, n| {
                out.push::<L>(L::mul(read_some::<L, _>(gradient, at, n, 0.0), share), n);
            });
        }
        out.end()
    }
}
