//! Weights in the order that a tile reads them.

use rayon::prelude::*;

use crate::simd::Family;

/// `(KH, KW, I, O)` to `[panel of O][tap][I][column]`; columns past `O` are zeros.
pub(super) fn pack_forward(
    family: Family,
    weight: &[f32],
    kernel: (usize, usize),
    n_in: usize,
    n_out: usize,
) -> Vec<f32> {
    let (panel, n_taps) = (family.panel(), kernel.0 * kernel.1);
    let panel_len = n_taps * n_in * panel;
    crate::memory::build(&vec![panel_len; n_out.div_ceil(panel)], |panel_idx, packed| {
        let first = panel_idx * panel;
        let n_columns = panel.min(n_out - first);
        for (to, from) in packed.chunks_exact_mut(panel).zip(weight.chunks_exact(n_out)) {
            to[..n_columns].copy_from_slice(&from[first..first + n_columns]);
        }
    })
}

/// `(KH, KW, I, O)` to `[panel of I][tap][O][column]`: the weights as the gradient of the input meets them.
pub(super) fn pack_transposed(
    family: Family,
    weight: &[f32],
    kernel: (usize, usize),
    n_in: usize,
    n_out: usize,
) -> Vec<f32> {
    let (panel, n_taps) = (family.panel(), kernel.0 * kernel.1);
    let panel_len = n_taps * n_out * panel;
    let mut packed = vec![0.0; n_in.div_ceil(panel) * panel_len];
    packed.par_chunks_mut(panel_len).enumerate().for_each(|(panel_idx, packed)| {
        let first = panel_idx * panel;
        let n_columns = panel.min(n_in - first);
        for (tap, to) in packed.chunks_exact_mut(n_out * panel).enumerate() {
            let from = &weight[(tap * n_in + first) * n_out..][..n_columns * n_out];
            for (o, to) in to.chunks_exact_mut(panel).enumerate() {
                for (column, to) in to[..n_columns].iter_mut().enumerate() {
                    *to = from[column * n_out + o];
                }
            }
        }
    });
    packed
}
