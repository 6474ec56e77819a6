//! The six one-dimensional transforms of F(4, 3) (Lavin & Gray 2015, arXiv:1509.09308, section 4.3), by the points 0, ±11/16,
//! ±3/2 and infinity.
//!
//! A convolution of 4 outputs with 3 taps reads 6 inputs. Transformed, it is 6 products in place of 12; in two
//! dimensions 36 in place of 144.
//!
//! The paper's points 0, ±1, ±2 and infinity need nothing but small whole numbers, but make the error in two dimensions
//! twice as large: their powers differ by more. Of all points these are near the best; that they have few digits
//! makes every constant of the transforms of inputs and of outputs exact.

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

/// The points next to zero are plus and minus this.
const NEAR: f32 = 11.0 / 16.0;
/// The points further out.
const FAR: f32 = 3.0 / 2.0;
const NEAR_2: f32 = NEAR * NEAR;
const FAR_2: f32 = FAR * FAR;
/// What weights are divided by at zero, at the near points and at the far ones: a point's differences from all others,
/// multiplied.
const DIVISORS: [f32; 3] = [NEAR_2 * FAR_2, 2.0 * NEAR_2 * (NEAR_2 - FAR_2), 2.0 * FAR_2 * (FAR_2 - NEAR_2)];

impl Transform<6, 6> for Input {
    #[inline(always)]
    fn apply<L: Lanes>([d0, d1, d2, d3, d4, d5]: [L::V; 6]) -> [L::V; 6] {
        let near =
            ends::<L>(NEAR, L::mul_add(L::splat(-FAR_2), d2, d4), L::mul_add(L::splat(-FAR_2), d1, d3));
        let far =
            ends::<L>(FAR, L::mul_add(L::splat(-NEAR_2), d2, d4), L::mul_add(L::splat(-NEAR_2), d1, d3));
        let (product, sum) = (L::splat(NEAR_2 * FAR_2), L::splat(-(NEAR_2 + FAR_2)));
        let zero = L::mul_add(product, d0, L::mul_add(sum, d2, d4));
        let infinity = L::mul_add(product, d1, L::mul_add(sum, d3, d5));
        [zero, near[0], near[1], far[0], far[1], infinity]
    }
}

impl Transform<6, 4> for Output {
    #[inline(always)]
    fn apply<L: Lanes>([m0, m1, m2, m3, m4, m5]: [L::V; 6]) -> [L::V; 4] {
        let (near_sum, near_difference) = (L::add(m1, m2), L::sub(m1, m2));
        let (far_sum, far_difference) = (L::add(m3, m4), L::sub(m3, m4));
        let power = |near: f32, far: f32, (a, b): (L::V, L::V)| {
            L::mul_add(L::splat(far), b, L::mul(L::splat(near), a))
        };
        let thirds = L::mul_add(L::splat(NEAR * NEAR_2), near_difference, m5);
        [
            L::add(L::add(near_sum, far_sum), m0),
            power(NEAR, FAR, (near_difference, far_difference)),
            power(NEAR_2, FAR_2, (near_sum, far_sum)),
            L::mul_add(L::splat(FAR * FAR_2), far_difference, thirds),
        ]
    }
}

impl Transform<3, 6> for Weight {
    #[inline(always)]
    fn apply<L: Lanes>([g0, g1, g2]: [L::V; 3]) -> [L::V; 6] {
        let at = |point: f32, divisor: f32| {
            let ends = ends::<L>(point, L::mul_add(L::splat(point * point), g2, g0), g1);
            ends.map(|value| L::mul(L::splat(1.0 / divisor), value))
        };
        let (near, far) = (at(NEAR, DIVISORS[1]), at(FAR, DIVISORS[2]));
        [L::mul(L::splat(1.0 / DIVISORS[0]), g0), near[0], near[1], far[0], far[1], g2]
    }
}

impl Transform<4, 6> for OutputGradient {
    #[inline(always)]
    fn apply<L: Lanes>([y0, y1, y2, y3]: [L::V; 4]) -> [L::V; 6] {
        let near =
            ends::<L>(NEAR, L::mul_add(L::splat(NEAR_2), y2, y0), L::mul_add(L::splat(NEAR_2), y3, y1));
        let far = ends::<L>(FAR, L::mul_add(L::splat(FAR_2), y2, y0), L::mul_add(L::splat(FAR_2), y3, y1));
        [y0, near[0], near[1], far[0], far[1], y3]
    }
}

impl Transform<6, 3> for WeightGradient {
    #[inline(always)]
    fn apply<L: Lanes>([u0, u1, u2, u3, u4, u5]: [L::V; 6]) -> [L::V; 3] {
        let (near, far) = (L::splat(1.0 / DIVISORS[1]), L::splat(1.0 / DIVISORS[2]));
        let (near_sum, near_difference) = (L::mul(near, L::add(u1, u2)), L::mul(near, L::sub(u1, u2)));
        let (far_sum, far_difference) = (L::mul(far, L::add(u3, u4)), L::mul(far, L::sub(u3, u4)));
        [
            L::mul_add(L::splat(1.0 / DIVISORS[0]), u0, L::add(near_sum, far_sum)),
            L::mul_add(L::splat(FAR), far_difference, L::mul(L::splat(NEAR), near_difference)),
            L::mul_add(L::splat(FAR_2), far_sum, L::mul_add(L::splat(NEAR_2), near_sum, u5)),
        ]
    }
}

/// A polynomial at a point and at its opposite, by the sums of its even terms and of its odd ones over the point.
#[inline(always)]
fn ends<L: Lanes>(point: f32, even: L::V, odd: L::V) -> [L::V; 2] {
    [L::mul_add(L::splat(point), odd, even), L::mul_add(L::splat(-point), odd, even)]
}
