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
    const SERIES: [f32; 7] =
        [0.001_381_458_7, 0.008_368_721_5, 0.041_668_39, 0.166_665_2, 0.499_999_93, 1.0, 1.0];
    let x = L::max(x, L::splat(-87.0));
    let shifted = L::mul_add(x, L::splat(std::f32::consts::LOG2_E), L::splat(ROUND));
    let n = L::sub(shifted, L::splat(ROUND));
    let r = L::mul_add(n, L::splat(-LN2_HIGH), x);
    let r = L::mul_add(n, L::splat(-LN2_LOW), r);
    L::mul(polynomial::<L, 7>(r, SERIES), L::power_of_two(shifted))
}

/// GELU, `x * Φ(x)` with the normal distribution `Φ`, and its slope: exact, not the approximation by tanh
/// (Hendrycks & Gimpel 2016, arXiv:1606.08415).
#[inline(always)]
pub(crate) fn gelu<L: Lanes>(x: L::V) -> (L::V, L::V) {
    // Φ(-|x|) is the bell times a function that a polynomial in 1 / (1 + 0.35 |x|) meets to 3e-8 of its value, by a
    // fit to erfcx for |x| up to 13.4, where the bell is 0 in single precision.
    const TAIL: [f32; 10] = [
        -0.029_121_088,
        0.143_848_45,
        -0.255_454_15,
        0.158_870_07,
        -0.022_895_106,
        0.105_414_54,
        0.119_857_28,
        0.139_858_39,
        0.139_621_61,
        0.0,
    ];
    const INV_SQRT_TAU: f32 = 0.398_942_3;
    let one = L::splat(1.0);
    let distance = L::max(x, L::sub(L::zero(), x));
    let t = L::div(one, L::mul_add(distance, L::splat(0.35), one));
    let bell = exp::<L>(L::mul(L::mul(x, x), L::splat(-0.5)));
    let below = L::mul(bell, polynomial::<L, 10>(t, TAIL));
    let phi = L::by_sign(x, below, L::sub(one, below));
    let slope = L::mul_add(L::mul(x, bell), L::splat(INV_SQRT_TAU), phi);
    (L::mul(x, phi), slope)
}

/// The coefficient of the highest power first.
#[inline(always)]
fn polynomial<L: Lanes, const M: usize>(x: L::V, coefficients: [f32; M]) -> L::V {
    let mut sum = L::splat(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = L::mul_add(sum, x, L::splat(*coefficient));
    }
    sum
}
