//! Transformed weights.

use super::{GAP, algebra::Weight, passes::transform, points::N_POINTS};
use crate::{
    memory::build,
    simd::{Family, Kernel, Lanes},
};

/// Packed weights, and how to read them.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    /// `[panel of columns][tap][channel read][column]`.
    pub(super) packed: &'a [f32],
    /// Channels read.
    pub(super) n_in: usize,
    /// Columns of a panel.
    pub(super) panel: usize,
    /// Whether the taps are meant in reverse: the gradient of the input meets them so.
    pub(super) is_flipped: bool,
}

impl Weights<'_> {
    /// Panels.
    pub(super) fn n_panels(self) -> usize {
        self.packed.len() / (9 * self.tap_len())
    }

    /// Values of a tap of a panel.
    pub(super) fn tap_len(self) -> usize {
        self.n_in * self.panel
    }

    /// From one point of a transformed panel to the next: further than a point has values, for points are written side by
    /// side, and as many as there are would meet in the same places of the cache.
    pub(super) fn point_len(self) -> usize {
        self.tap_len() + GAP
    }

    /// Values of a transformed panel.
    pub(super) fn panel_len(self) -> usize {
        N_POINTS * self.point_len()
    }

    /// All panels, `[panel][point][channel read][column]`.
    pub(super) fn transformed(self, family: Family) -> Vec<f32> {
        build(&vec![self.panel_len(); self.n_panels()], |panel_idx, out| {
            family.run(TransformPanel { weights: self, panel_idx, out });
        })
    }

    /// One panel, `[point][channel read][column]`.
    #[inline(always)]
    pub(super) fn transform_panel<L: Lanes>(self, panel_idx: usize, out: &mut [f32]) {
        let len = self.tap_len();
        let packed = &self.packed[panel_idx * 9 * len..][..9 * len];
        let mut elements: [[&[f32]; 3]; 3] = [[&[]; 3]; 3];
        for (tap, element) in elements.as_flattened_mut().iter_mut().enumerate() {
            let tap = if self.is_flipped { 8 - tap } else { tap };
            *element = &packed[tap * len..][..len];
        }
        let mut places = [[None; 6]; 6];
        for (point, place) in places.as_flattened_mut().iter_mut().enumerate() {
            *place = Some(point * self.point_len());
        }
        transform::<L, Weight, 3, 6>(&elements, len, out, &places, false);
    }
}

struct TransformPanel<'a> {
    weights: Weights<'a>,
    panel_idx: usize,
    out: &'a mut [f32],
}

impl Kernel for TransformPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        self.weights.transform_panel::<L>(self.panel_idx, self.out);
    }
}
