//! GELU, `x * Φ(x)` with the normal distribution `Φ`: exact, not the approximation by tanh
//! (Hendrycks & Gimpel 2016, arXiv:1606.08415).

/// The value and the slope.
#[inline(always)]
pub(super) fn gelu(x: f32) -> (f32, f32) {
    // Φ(-|x|) is the density times a function that a polynomial in 1 / (1 + 0.35 |x|) meets to 3e-8 of its value, by a
    // fit to erfcx for |x| up to 13.4, where the density is 0 in single precision.
    const TAIL: [f32; 9] = [
        0.139_621_61,
        0.139_858_39,
        0.119_857_28,
        0.105_414_54,
        -0.022_895_106,
        0.158_870_07,
        -0.255_454_15,
        0.143_848_45,
        -0.029_121_088,
    ];
    const INV_SQRT_TAU: f32 = 0.398_942_3;
    let t = 1.0 / (1.0 + 0.35 * x.abs());
    let tail = TAIL.iter().rev().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    let bell = (-0.5 * x * x).exp();
    let below = bell * tail;
    let phi = if x < 0.0 { below } else { 1.0 - below };
    (x * phi, phi + x * bell * INV_SQRT_TAU)
}
