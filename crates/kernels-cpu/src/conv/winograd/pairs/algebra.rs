//! The transforms of F(2, 3), by the points 0, ±1 and infinity (Lavin & Gray 2015, arXiv:1509.09308, section 4.1), in two
//! dimensions.

use super::super::algebra::Transform;
use crate::simd::Lanes;

/// Inputs, the paper's `B^T`.
pub(super) struct Input;
/// Products to outputs, the paper's `A^T`.
pub(super) struct Output;
/// Weights, the paper's `G`.
pub(super) struct Weight;
/// Gradients of outputs, `A`: the transpose of [`Output`].
pub(super) struct OutputGradient;
/// Products to gradients of weights, `G^T`: the transpose of [`Weight`].
pub(super) struct WeightGradient;

impl Transform<4, 4> for Input {
    #[inline(always)]
    fn apply<L: Lanes>([d0, d1, d2, d3]: [L::V; 4]) -> [L::V; 4] {
        [L::sub(d0, d2), L::add(d1, d2), L::sub(d2, d1), L::sub(d1, d3)]
    }
}

impl Transform<4, 2> for Output {
    #[inline(always)]
    fn apply<L: Lanes>([m0, m1, m2, m3]: [L::V; 4]) -> [L::V; 2] {
        [L::add(L::add(m0, m1), m2), L::sub(L::sub(m1, m2), m3)]
    }
}

impl Transform<3, 4> for Weight {
    #[inline(always)]
    fn apply<L: Lanes>([g0, g1, g2]: [L::V; 3]) -> [L::V; 4] {
        let half = L::splat(0.5);
        let (ends, middle) = (L::mul(half, L::add(g0, g2)), L::mul(half, g1));
        [g0, L::add(ends, middle), L::sub(ends, middle), g2]
    }
}

impl Transform<2, 4> for OutputGradient {
    #[inline(always)]
    fn apply<L: Lanes>([y0, y1]: [L::V; 2]) -> [L::V; 4] {
        [y0, L::add(y0, y1), L::sub(y0, y1), L::sub(L::zero(), y1)]
    }
}

impl Transform<4, 3> for WeightGradient {
    #[inline(always)]
    fn apply<L: Lanes>([u0, u1, u2, u3]: [L::V; 4]) -> [L::V; 3] {
        let half = L::splat(0.5);
        let (sum, difference) = (L::mul(half, L::add(u1, u2)), L::mul(half, L::sub(u1, u2)));
        [L::add(u0, sum), difference, L::add(sum, u3)]
    }
}

/// A transform down the columns, then along the rows, of elements of a register each.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "loops of constant length over registers")]
pub(super) fn both_axes<L: Lanes, T: Transform<I, O>, const I: usize, const O: usize>(
    from: [[L::V; I]; I],
) -> [[L::V; O]; O] {
    let mut between = [[L::zero(); I]; O];
    for column in 0..I {
        let mut values = [L::zero(); I];
        for row in 0..I {
            values[row] = from[row][column];
        }
        let values = T::apply::<L>(values);
        for row in 0..O {
            between[row][column] = values[row];
        }
    }
    let mut to = [[L::zero(); O]; O];
    for row in 0..O {
        to[row] = T::apply::<L>(between[row]);
    }
    to
}
