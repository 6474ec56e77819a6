//! Average pool.

use std::ops::Range;

use super::{CHUNK, windows::Windows};
use crate::{
    ConvGeometry, Layout,
    layout::PixelRows,
    memory::build_filled,
    simd::{Element, Family, Filled, Filling, Kernel, Lanes, for_registers, read_some},
    values::{Lent, Values},
};

/// The mean of each window; padding counts as zeros.
///
/// # Panics
///
/// When `to` is not what the windows over `from` give, or there are not as many values as `from` has.
pub fn average(family: Family, geometry: ConvGeometry, from: Layout, to: Layout, x: &Values) -> Values {
    let windows = Windows::new(geometry, from, to);
    assert_eq!(x.len(), from.len(), "there are as many values as the layout has");
    match x.lend() {
        Lent::F32(x) => Values::F32(sums(family, windows, Side::Output, x)),
        Lent::Bf16(x) => Values::Bf16(sums(family, windows, Side::Output, x)),
    }
}

/// The gradient of [`average`]'s input.
///
/// # Panics
///
/// When `to` is not what the windows over `from` give, or there are not as many values as it has.
pub fn average_gradient(
    family: Family,
    geometry: ConvGeometry,
    from: Layout,
    to: Layout,
    gradient: &Values,
) -> Values {
    let windows = Windows::new(geometry, from, to);
    assert_eq!(gradient.len(), to.len(), "there are as many values as the layout has");
    match gradient.lend() {
        Lent::F32(gradient) => Values::F32(sums(family, windows, Side::Input, gradient)),
        Lent::Bf16(gradient) => Values::Bf16(sums(family, windows, Side::Input, gradient)),
    }
}

/// Which side of the windows is computed: each pixel of one side is the sum of those of the other that it shares a window with,
/// times the same share.
#[derive(Clone, Copy)]
enum Side {
    Output,
    Input,
}

fn sums<E: Element>(family: Family, windows: Windows, side: Side, terms: &[E]) -> Vec<E> {
    let (of_terms, of_sums) = match side {
        Side::Output => (windows.from, windows.to),
        Side::Input => (windows.to, windows.from),
    };
    let (tasks, lens) = of_sums.tasks();
    build_filled(&lens, |task_idx, out| {
        let PixelRows { block, ref y } = tasks[task_idx];
        family.run(Sums {
            windows,
            side,
            terms: of_terms.block(terms, block),
            pixels: y.start * of_sums.w..y.end * of_sums.w,
            w: of_sums.w,
            pixel_len: of_sums.n_in_block(block) * of_sums.c,
            out,
        })
    })
}

/// Some pixels of a block.
struct Sums<'a, 'id, E> {
    windows: Windows,
    side: Side,
    terms: &'a [E],
    pixels: Range<usize>,
    /// Pixels in a row.
    w: usize,
    pixel_len: usize,
    out: Filling<'id, 'a, E>,
}

impl<'id, E: Element> Kernel for Sums<'_, 'id, E> {
    type Output = Filled<'id>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Filled<'id> {
        let Self { windows, side, terms, pixels, w, pixel_len, mut out } = self;
        let share = L::splat(1.0 / windows.n_taps() as f32);
        let (mut added, mut sum) = (Vec::new(), [0.0; CHUNK]);
        for pixel in pixels {
            let at = (pixel / w, pixel % w);
            added.clear();
            match side {
                Side::Output => added.extend(windows.inside(at).map(|term| term.pixel)),
                Side::Input => added.extend(windows.over(at).map(|term| term.pixel)),
            }
            for start in (0..pixel_len).step_by(CHUNK) {
                let len = CHUNK.min(pixel_len - start);
                let sum = &mut sum[..len];
                sum.fill(0.0);
                for pixel in &added {
                    let terms = &terms[pixel * pixel_len + start..][..len];
                    for (sum, term) in sum.iter_mut().zip(terms) {
                        *sum += term.single();
                    }
                }
                for_registers!(L, len, |at, n| {
                    out.push::<L>(L::mul(read_some::<L, _>(sum, at, n, 0.0), share), n);
                });
            }
        }
        out.end()
    }
}
