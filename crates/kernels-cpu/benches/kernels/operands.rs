//! What the kernels are fed.

use kernels_cpu::{Precision, Values};

/// Both precisions, with their names.
pub(crate) const PRECISIONS: [(&str, Precision); 2] = [("f32", Precision::F32), ("bf16", Precision::Bf16)];

/// Values that look random.
pub(crate) fn values(len: usize, precision: Precision) -> Values {
    Values::new(noise(len), precision)
}

/// Numbers between -1 and 1 that look random.
pub(crate) fn noise(len: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
