//! Functions of a register of values.

use super::Lanes;

/// `e^x` to two units in the last place, for `x` up to 88; below -87 it is that of -87, which is 2e-38.
#[inline(always)]
pub(crate) fn exp<L: Lanes>(x: L::V) -> L::V {
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer, and leaves it in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_145_75;
    const LN2_LOW: f32 = 1.428_606_8e-6;
    // A fit to e^r that is off by 3e-9 for |r| up to ln(2) / 2.
    const SERIES: [f32; 8] =
        [1.0, 1.0, 0.499_999_93, 0.166_665_2, 0.041_668_39, 0.008_368_721, 0.001_381_458_7, 0.0];
    // In this order, what is not a number stays so.
    let x = L::max(L::splat(-87.0), x);
    let shifted = L::mul_add(x, L::splat(std::f32::consts::LOG2_E), L::splat(ROUND));
    let n = L::sub(shifted, L::splat(ROUND));
    let r = L::mul_add(n, L::splat(-LN2_HIGH), x);
    let r = L::mul_add(n, L::splat(-LN2_LOW), r);
    L::mul(polynomial::<L>(r, SERIES), L::power_of_two(shifted))
}

/// GELU, `x * Φ(x)` with the normal distribution `Φ`, and its slope: exact, not the approximation by tanh
/// (Hendrycks & Gimpel 2016, arXiv:1606.08415).
///
/// Far from 0 both are at their limits: `x` and 1 above, up to infinity itself, -0 and 0 to thirty digits below. PyTorch has NaN
/// at infinities, where they meet a factor of 0. What is not a number stays so, and has no slope.
#[inline(always)]
pub(crate) fn gelu<L: Lanes>(x: L::V) -> (L::V, L::V) {
    // Φ(-|x|) is the bell times a function that `t` times a polynomial in `t`, 1 / (1 + 0.3 |x|), meets to 1.3e-7 of its
    // value, by a fit to erfcx for |x| up to 13.4, where the bell is 0 in single precision.
    const TAIL: [f32; 8] = [
        0.119_625_78,
        0.120_807_65,
        0.099_580_04,
        0.129_657_4,
        -0.055_747_52,
        0.208_589_06,
        -0.158_497_12,
        0.035_984_643,
    ];
    const INV_SQRT_TAU: f32 = 0.398_942_3;
    // Where `t` times the least bell is 0, and this times the least bell is next to 0: infinity times it is not.
    const FAR: f32 = 1e9;
    // In this order, what is not a number stays so.
    let from_below = L::max(L::splat(-FAR), x);
    let x = L::min(L::splat(FAR), from_below);
    let one = L::splat(1.0);
    let distance = L::max(x, L::sub(L::zero(), x));
    let t = L::div(one, L::mul_add(distance, L::splat(0.3), one));
    let bell = exp::<L>(L::mul(L::mul(x, x), L::splat(-0.5)));
    let below = L::mul(L::mul(bell, t), polynomial::<L>(t, TAIL));
    let phi = L::by_sign(x, below, L::sub(one, below));
    let slope = L::mul_add(L::mul(x, bell), L::splat(INV_SQRT_TAU), phi);
    (L::mul(from_below, phi), slope)
}

/// The coefficient of the lowest power first. By pairs of terms, and pairs of pairs: one term after the other, each
/// would wait for the last.
#[inline(always)]
fn polynomial<L: Lanes>(x: L::V, c: [f32; 8]) -> L::V {
    let x2 = L::mul(x, x);
    let x4 = L::mul(x2, x2);
    let low = L::mul_add(pair::<L>(x, c[2], c[3]), x2, pair::<L>(x, c[0], c[1]));
    let high = L::mul_add(pair::<L>(x, c[6], c[7]), x2, pair::<L>(x, c[4], c[5]));
    L::mul_add(high, x4, low)
}

#[inline(always)]
fn pair<L: Lanes>(x: L::V, constant: f32, slope: f32) -> L::V {
    L::mul_add(x, L::splat(slope), L::splat(constant))
}

/// The gradient where ReLU's output is above 0: `value` there, and 0 where `test` is not, or is not a number.
#[inline(always)]
pub(crate) fn where_positive<L: Lanes>(test: L::V, value: L::V) -> L::V {
    L::where_positive(test, value)
}
