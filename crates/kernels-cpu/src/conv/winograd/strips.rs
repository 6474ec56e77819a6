//! Strips of channels, which tasks of the weights' gradient share out, and what becomes of their sums.

use std::ops::Range;

use crate::memory::build;

/// `len` channels, `width` at a time.
pub(super) fn strips(len: usize, width: usize) -> Vec<Range<usize>> {
    (0..len).step_by(width).map(|start| start..len.min(start + width)).collect()
}

/// `(9, I, n_out)` out of the sums of each slice of tiles, strip of inputs and strip of outputs, `(9, inputs, outputs)` each.
pub(super) fn add_slices(
    partial: &[Vec<f32>],
    ins: &[Range<usize>],
    outs: &[Range<usize>],
    n_out: usize,
) -> Vec<f32> {
    // One strip of inputs of a tap a part; slices add up in their order.
    let parts: Vec<(usize, usize)> =
        (0..9).flat_map(|tap| (0..ins.len()).map(move |strip| (tap, strip))).collect();
    let lens: Vec<usize> = parts.iter().map(|&(_, strip)| ins[strip].len() * n_out).collect();
    build(&lens, |part, out| {
        let (tap, in_idx) = parts[part];
        for slice in partial.chunks_exact(ins.len() * outs.len()) {
            for (out_idx, outputs) in outs.iter().enumerate() {
                let strip = &slice[in_idx * outs.len() + out_idx];
                let len = ins[in_idx].len() * outputs.len();
                let rows = strip[tap * len..][..len].chunks_exact(outputs.len());
                for (out, row) in out.chunks_exact_mut(n_out).zip(rows) {
                    for (out, value) in out[outputs.clone()].iter_mut().zip(row) {
                        *out += value;
                    }
                }
            }
        }
    })
}
