//! Weights in the order that a tile reads them.

use crate::{
    Precision,
    matrix::{Packed, Side, multiplies_pairs, pack_transposed_pairs, pack_transposed_panel},
    memory::build,
    simd::{Family, Kernel, Lanes},
};

/// `(KH, KW, I, O)` to `[panel of O][tap][I][column]`; columns past `O` are zeros.
///
/// With pairs of bfloat16, for values that are kept so, two input channels share a word.
pub(super) fn pack_forward(
    family: Family,
    weight: &[f32],
    n_in: usize,
    n_out: usize,
    precision: Precision,
) -> Packed {
    // Pairs do not reach from one tap into the next.
    let precision = if n_in.is_multiple_of(2) { precision } else { Precision::F32 };
    Packed::new(family, Side::plain(weight, weight.len() / n_out, n_out), precision)
}

/// `(KH, KW, I, O)` to `[panel of I][tap][O][column]`: the weights as the gradient of the input meets them.
///
/// With pairs of bfloat16, for values that are kept so, two output channels share a word.
pub(super) fn pack_transposed(
    family: Family,
    weight: &[f32],
    n_in: usize,
    n_out: usize,
    precision: Precision,
) -> Packed {
    let panel = family.panel();
    let is_in_pairs = multiplies_pairs(family, precision, n_out);
    let n_taps = weight.len() / (n_in * n_out);
    let n_steps = if is_in_pairs { n_out / 2 } else { n_out };
    let values = build(&vec![n_taps * n_steps * panel; n_in.div_ceil(panel)], |panel_idx, to| {
        let first = panel_idx * panel;
        let n_columns = panel.min(n_in - first);
        family.run(PackTransposed { weight, first, sizes: (n_in, n_out, n_columns), is_in_pairs, to });
    });
    Packed { family, values, n_inner: n_taps * n_out, n_columns: n_in, is_in_pairs }
}

struct PackTransposed<'a> {
    weight: &'a [f32],
    first: usize,
    /// Input channels, output channels, and columns of the panel.
    sizes: (usize, usize, usize),
    is_in_pairs: bool,
    to: &'a mut [f32],
}

impl Kernel for PackTransposed<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (n_in, n_out, n_columns) = self.sizes;
        let n_steps = if self.is_in_pairs { n_out / 2 } else { n_out };
        for (tap, to) in self.to.chunks_exact_mut(n_steps * 2 * L::N).enumerate() {
            let from = &self.weight[(tap * n_in + self.first) * n_out..][..n_columns * n_out];
            if self.is_in_pairs {
                pack_transposed_pairs::<L>(from, (n_out, n_columns), to);
            } else {
                pack_transposed_panel::<L>(from, n_out, (n_out, n_columns), to);
            }
        }
    }
}
