//! Transformed weights.
#![allow(unsafe_code, reason = "a bounds check a register would halve the speed")]

use super::super::GAP;
use super::{
    N_POINTS,
    algebra::{Weight, both_axes},
};
use crate::{
    matrix::Packed,
    memory::build,
    simd::{Kernel, Lanes, read},
};

/// Transformed weights, as products read them: panels of columns, each `[point][pair of channels read][column]`, a word each.
pub(super) struct Weights {
    words: Vec<f32>,
    /// Words of a panel.
    panel_len: usize,
}

impl Weights {
    /// Of packed weights, `[panel][tap][channel read][column]`, single values; taps in reverse where the gradient of the
    /// input meets them so.
    ///
    /// # Panics
    ///
    /// When the packed weights are no 3x3 taps of `n_in` channels.
    pub(super) fn transformed(packed: &Packed, n_in: usize, is_flipped: bool) -> Self {
        let family = packed.family;
        let panels: Vec<&[f32]> = packed.panels().map(|(_, values)| values).collect();
        let panel_len = N_POINTS * point_len(n_in, family.panel());
        let words = build(&vec![panel_len; panels.len()], |panel_idx, out| {
            family.run(TransformPanel { from: panels[panel_idx], n_in, is_flipped, out });
        });
        Self { words, panel_len }
    }

    /// Panels, each with its points.
    pub(super) fn panels(&self) -> impl Iterator<Item = std::slice::ChunksExact<'_, f32>> {
        self.words.chunks_exact(self.panel_len).map(|panel| panel.chunks_exact(self.panel_len / N_POINTS))
    }
}

/// From one point of a panel to the next: further than a point has words, for points are written side by side, and as many
/// as there are would meet in the same places of the cache.
fn point_len(n_in: usize, panel: usize) -> usize {
    n_in / 2 * panel + GAP
}

struct TransformPanel<'a> {
    /// `[tap][channel read][column]`
    from: &'a [f32],
    n_in: usize,
    is_flipped: bool,
    out: &'a mut [f32],
}

impl Kernel for TransformPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let panel = 2 * L::N;
        let (tap_len, point_len) = (self.n_in * panel, point_len(self.n_in, panel));
        assert_eq!((self.from.len(), self.out.len()), (9 * tap_len, N_POINTS * point_len), "a whole panel");
        for pair in 0..self.n_in / 2 {
            for at in [0, L::N] {
                let low = self.points::<L>(2 * pair * panel + at, tap_len);
                let high = self.points::<L>((2 * pair + 1) * panel + at, tap_len);
                for (point, (low, high)) in
                    low.into_iter().flatten().zip(high.into_iter().flatten()).enumerate()
                {
                    let to = point * point_len + pair * panel + at;
                    // SAFETY: `pair` is below `n_in / 2`, so that the register ends inside the point's part of `out`, whose
                    // length is asserted above.
                    unsafe { L::store(self.out.as_mut_ptr().add(to), L::pair(low, high)) };
                }
            }
        }
    }
}

impl TransformPanel<'_> {
    /// The points of one channel's register of columns, which is at `at` of each tap.
    #[inline(always)]
    fn points<L: Lanes>(&self, at: usize, tap_len: usize) -> [[L::V; 4]; 4] {
        let mut taps = [[L::zero(); 3]; 3];
        for (tap, value) in taps.as_flattened_mut().iter_mut().enumerate() {
            let tap = if self.is_flipped { 8 - tap } else { tap };
            let start = tap * tap_len + at;
            *value = read::<L>(&self.from[start..]);
        }
        both_axes::<L, Weight, 3, 4>(taps)
    }
}
