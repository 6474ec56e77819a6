//! Which taps of the kernel meet which pixels.

use crate::{ConvGeometry, layout::Layout};

/// For each position along one axis of the result, what is gathered: pairs of (tap of the kernel, position read).
pub(super) type AxisPlan = Vec<Vec<(usize, usize)>>;

/// Both axes. A position of the result reads all pairs of a vertical and a horizontal tap.
///
/// Taps that would read padding are not in the plan, which is how padding costs nothing.
pub(super) struct Plan {
    /// Vertical.
    pub(super) y: AxisPlan,
    /// Horizontal.
    pub(super) x: AxisPlan,
    /// Columns of the kernel.
    pub(super) kernel_w: usize,
}

impl Plan {
    /// Which input pixels an output pixel gathers.
    pub(super) fn forward(geometry: ConvGeometry, from: Layout, to: Layout) -> Self {
        let ConvGeometry { kernel, stride, padding } = geometry;
        Self {
            y: read_by_outputs(to.h, from.h, kernel.0, stride.0, padding.0),
            x: read_by_outputs(to.w, from.w, kernel.1, stride.1, padding.1),
            kernel_w: kernel.1,
        }
    }

    /// Which output pixels an input pixel went to.
    pub(super) fn backward(geometry: ConvGeometry, input: Layout, output: Layout) -> Self {
        let forward = Self::forward(geometry, input, output);
        Self { y: reverse(&forward.y, input.h), x: reverse(&forward.x, input.w), kernel_w: forward.kernel_w }
    }
}

fn read_by_outputs(n_out: usize, n_in: usize, kernel: usize, stride: usize, padding: usize) -> AxisPlan {
    let taps = |out: usize| {
        let read = move |tap: usize| (out * stride + tap).checked_sub(padding).filter(|&pos| pos < n_in);
        (0..kernel).filter_map(|tap| read(tap).map(|pos| (tap, pos))).collect()
    };
    (0..n_out).map(taps).collect()
}

fn reverse(plan: &AxisPlan, n_in: usize) -> AxisPlan {
    let mut reversed = vec![Vec::new(); n_in];
    for (out, taps) in plan.iter().enumerate() {
        for &(tap, pos) in taps {
            reversed[pos].push((tap, out));
        }
    }
    reversed
}

/// Neighboring positions that the same taps meet, each one pixel further: they are one matrix product.
pub(super) struct Run {
    /// First position.
    pub(super) start: usize,
    /// Positions.
    pub(super) len: usize,
}

/// Cuts an axis into runs.
pub(super) fn runs(axis: &AxisPlan) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for pos in 0..axis.len() {
        match runs.last_mut() {
            Some(run) if follows(&axis[pos - 1], &axis[pos]) => run.len += 1,
            _ => runs.push(Run { start: pos, len: 1 }),
        }
    }
    runs
}

fn follows(before: &[(usize, usize)], after: &[(usize, usize)]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|(before, after)| before.0 == after.0 && before.1 + 1 == after.1)
}

/// For each tap along an axis, the pairs of (position of the result, position read) that it connects, in order.
pub(super) fn by_tap(axis: &AxisPlan, n_taps: usize) -> Vec<Vec<(usize, usize)>> {
    let mut pairs = vec![Vec::new(); n_taps];
    for (out, taps) in axis.iter().enumerate() {
        for &(tap, pos) in taps {
            pairs[tap].push((out, pos));
        }
    }
    pairs
}
