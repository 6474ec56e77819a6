//! Max pool.

use std::ops::Range;

use super::{
    CHUNK,
    windows::{TapOfPixel, Windows},
};
use crate::{
    ConvGeometry, Layout,
    layout::PixelRows,
    memory::{build_beside, build_filled, split_mut},
    simd::{Element, Family, Filled, Filling, Kernel, Lanes, for_registers, read_some, write_some},
    values::{Lent, Operand, Values},
};

/// Pixels that a window of [`largest`] has at most: a tap is a byte.
pub const MAX_TAPS: usize = 256;

/// The largest value of each window, and its tap: `y * KW + x` inside the window, padding counted. Of equal values it is the
/// first, row after row, and NaN is larger than any number, as in PyTorch. Padding is never the largest.
///
/// # Panics
///
/// When a window has more than [`MAX_TAPS`] pixels, `to` is not what the windows over `from` give, or there are not as many values
/// as `from` has.
pub fn largest(
    family: Family,
    geometry: ConvGeometry,
    from: Layout,
    to: Layout,
    x: &Values,
) -> (Values, Vec<u8>) {
    let windows = Windows::new(geometry, from, to);
    assert!(windows.n_taps() <= MAX_TAPS, "a window of {} pixels", windows.n_taps());
    assert_eq!(x.len(), from.len(), "there are as many values as the layout has");
    match x.lend() {
        Lent::F32(x) => largest_of(family, windows, x),
        Lent::Bf16(x) => largest_of(family, windows, x),
    }
}

/// The gradient of [`largest`]'s input, from the taps that it gave.
///
/// # Panics
///
/// When `to` is not what the windows over `from` give, or there are not as many taps or values as it has.
pub fn largest_gradient(
    family: Family,
    geometry: ConvGeometry,
    from: Layout,
    to: Layout,
    taps: &[u8],
    gradient: &Values,
) -> Values {
    let windows = Windows::new(geometry, from, to);
    assert_eq!([taps.len(), gradient.len()], [to.len(); 2], "there are as many values as the layout has");
    match gradient.lend() {
        Lent::F32(gradient) => Values::F32(give_to_largest(family, windows, taps, gradient)),
        Lent::Bf16(gradient) => Values::Bf16(give_to_largest(family, windows, taps, gradient)),
    }
}

fn largest_of<E: Operand>(family: Family, windows: Windows, x: &[E]) -> (Values, Vec<u8>) {
    let (tasks, lens) = windows.to.tasks();
    let mut taps = vec![0; windows.to.len()];
    let values = build_beside(&lens, split_mut(&mut taps, &lens), |task_idx, taps, out: &mut [E]| {
        let PixelRows { block, ref y } = tasks[task_idx];
        family.run(Largest { windows, x: windows.from.block(x, block), first_y: y.start, out, taps });
    });
    (E::values(values), taps)
}

/// The largest values of some rows of windows of one block.
struct Largest<'a, E> {
    windows: Windows,
    x: &'a [E],
    first_y: usize,
    out: &'a mut [E],
    taps: &'a mut [u8],
}

impl<E: Element> Kernel for Largest<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { windows, x, first_y, out, taps } = self;
        let pixel_len = x.len() / (windows.from.h * windows.from.w);
        let (mut best, mut tap_of_best) = ([0.0; CHUNK], [0; CHUNK]);
        let pixels = out.chunks_exact_mut(pixel_len).zip(taps.chunks_exact_mut(pixel_len));
        for (pos, (out, taps)) in pixels.enumerate() {
            let inside = windows.inside((first_y + pos / windows.to.w, pos % windows.to.w));
            let first_tap = inside.clone().next().map_or(0, |first| first.tap as u32);
            let chunks = out.chunks_mut(CHUNK).zip(taps.chunks_mut(CHUNK));
            for (chunk, (out, taps)) in chunks.enumerate() {
                let (best, tap_of_best) = (&mut best[..out.len()], &mut tap_of_best[..out.len()]);
                best.fill(f32::NEG_INFINITY);
                tap_of_best.fill(first_tap);
                for TapOfPixel { pixel, tap } in inside.clone() {
                    let x = &x[pixel * pixel_len + chunk * CHUNK..][..out.len()];
                    for ((x, best), tap_of_best) in x.iter().zip(&mut *best).zip(&mut *tap_of_best) {
                        let value = x.single();
                        let is_larger = value > *best || value.is_nan();
                        *best = if is_larger { value } else { *best };
                        *tap_of_best = if is_larger { tap as u32 } else { *tap_of_best };
                    }
                }
                for_registers!(L, out.len(), |at, n| {
                    write_some::<L, E>(out, at, n, read_some::<L, _>(best, at, n, 0.0));
                });
                for (to, tap) in taps.iter_mut().zip(tap_of_best) {
                    *to = *tap as u8;
                }
            }
        }
    }
}

fn give_to_largest<E: Element>(family: Family, windows: Windows, taps: &[u8], gradient: &[E]) -> Vec<E> {
    let (tasks, lens) = windows.from.tasks();
    build_filled(&lens, |task_idx, out| {
        let PixelRows { block, ref y } = tasks[task_idx];
        family.run(GiveToLargest {
            windows,
            taps: windows.to.block(taps, block),
            gradient: windows.to.block(gradient, block),
            y: y.clone(),
            out,
        })
    })
}

/// The gradients of some rows of pixels of one block.
struct GiveToLargest<'a, 'id, E> {
    windows: Windows,
    taps: &'a [u8],
    gradient: &'a [E],
    y: Range<usize>,
    out: Filling<'id, 'a, E>,
}

impl<'id, E: Element> Kernel for GiveToLargest<'_, 'id, E> {
    type Output = Filled<'id>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Filled<'id> {
        let Self { windows, taps, gradient, y, mut out } = self;
        let pixel_len = gradient.len() / (windows.to.h * windows.to.w);
        let mut sum = [0.0; CHUNK];
        for at in y.flat_map(|y| (0..windows.from.w).map(move |x| (y, x))) {
            for start in (0..pixel_len).step_by(CHUNK) {
                let len = CHUNK.min(pixel_len - start);
                let sum = &mut sum[..len];
                sum.fill(0.0);
                for TapOfPixel { pixel, tap } in windows.over(at) {
                    let range = pixel * pixel_len + start..pixel * pixel_len + start + len;
                    let given = taps[range.clone()].iter().zip(&gradient[range]);
                    for (sum, (&largest, gradient)) in sum.iter_mut().zip(given) {
                        *sum += if u32::from(largest) == tap as u32 { gradient.single() } else { 0.0 };
                    }
                }
                for_registers!(L, len, |at, n| {
                    out.push::<L>(read_some::<L, _>(sum, at, n, 0.0), n);
                });
            }
        }
        out.end()
    }
}
