//! The six one-dimensional transforms of F(4, 3), by the points 0, ±1, ±2 and infinity (Lavin & Gray 2015,
//! arXiv:1509.09308, section 4.3).
//!
//! A convolution of 4 outputs with 3 taps reads 6 inputs. Transformed, it is 6 products in place of 12; in two
//! dimensions 36 in place of 144.

use crate::simd::Lanes;

/// A linear map of `I` values to `O`, each a register of channels.
pub(super) trait Transform<const I: usize, const O: usize> {
    /// Applies the map. Must be `#[inline(always)]`.
    fn apply<L: Lanes>(values: [L::V; I]) -> [L::V; O];
}

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

impl Transform<6, 6> for Input {
    #[inline(always)]
    fn apply<L: Lanes>([d0, d1, d2, d3, d4, d5]: [L::V; 6]) -> [L::V; 6] {
        let (four, minus_four, minus_five) = (L::splat(4.0), L::splat(-4.0), L::splat(-5.0));
        let even = L::mul_add(minus_four, d2, d4);
        let odd = L::mul_add(minus_four, d1, d3);
        let half_even = L::sub(d4, d2);
        let half_odd = L::sub(d3, d1);
        [
            L::mul_add(four, d0, L::mul_add(minus_five, d2, d4)),
            L::add(even, odd),
            L::sub(even, odd),
            L::mul_add(L::splat(2.0), half_odd, half_even),
            L::mul_add(L::splat(-2.0), half_odd, half_even),
            L::mul_add(four, d1, L::mul_add(minus_five, d3, d5)),
        ]
    }
}

impl Transform<6, 4> for Output {
    #[inline(always)]
    fn apply<L: Lanes>([m0, m1, m2, m3, m4, m5]: [L::V; 6]) -> [L::V; 4] {
        let (sum_1, difference_1) = (L::add(m1, m2), L::sub(m1, m2));
        let (sum_2, difference_2) = (L::add(m3, m4), L::sub(m3, m4));
        [
            L::add(L::add(m0, sum_1), sum_2),
            L::mul_add(L::splat(2.0), difference_2, difference_1),
            L::mul_add(L::splat(4.0), sum_2, sum_1),
            L::add(L::mul_add(L::splat(8.0), difference_2, difference_1), m5),
        ]
    }
}

impl Transform<3, 6> for Weight {
    #[inline(always)]
    fn apply<L: Lanes>([g0, g1, g2]: [L::V; 3]) -> [L::V; 6] {
        let sixth = L::splat(-1.0 / 6.0);
        let ends = L::mul(sixth, L::add(g0, g2));
        let middle = L::mul(sixth, g1);
        let far_ends = L::mul_add(L::splat(1.0 / 24.0), g0, L::mul(L::splat(1.0 / 6.0), g2));
        let far_middle = L::mul(L::splat(1.0 / 12.0), g1);
        [
            L::mul(L::splat(0.25), g0),
            L::add(ends, middle),
            L::sub(ends, middle),
            L::add(far_ends, far_middle),
            L::sub(far_ends, far_middle),
            g2,
        ]
    }
}

impl Transform<4, 6> for OutputGradient {
    #[inline(always)]
    fn apply<L: Lanes>([y0, y1, y2, y3]: [L::V; 4]) -> [L::V; 6] {
        let (even, odd) = (L::add(y0, y2), L::add(y1, y3));
        let far_even = L::mul_add(L::splat(4.0), y2, y0);
        let far_odd = L::mul_add(L::splat(8.0), y3, L::add(y1, y1));
        [y0, L::add(even, odd), L::sub(even, odd), L::add(far_even, far_odd), L::sub(far_even, far_odd), y3]
    }
}

impl Transform<6, 3> for WeightGradient {
    #[inline(always)]
    fn apply<L: Lanes>([u0, u1, u2, u3, u4, u5]: [L::V; 6]) -> [L::V; 3] {
        let (sum_1, difference_1) = (L::add(u1, u2), L::sub(u2, u1));
        let (sum_2, difference_2) = (L::add(u3, u4), L::sub(u3, u4));
        let (sixth, twelfth) = (L::splat(1.0 / 6.0), L::splat(1.0 / 12.0));
        let near = L::mul(sixth, sum_1);
        [
            L::mul_add(L::splat(0.25), u0, L::sub(L::mul(L::splat(1.0 / 24.0), sum_2), near)),
            L::mul_add(sixth, difference_1, L::mul(twelfth, difference_2)),
            L::add(L::sub(L::mul(sixth, sum_2), near), u5),
        ]
    }
}
