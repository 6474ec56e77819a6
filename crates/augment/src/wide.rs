//! Loops that are compiled for any x86-64 CPU and for CPUs with AVX2, and selected at run time.

/// Runs `work`, compiled for the widest vectors of this CPU.
///
/// Results do not depend on the CPU: Rust neither reorders nor contracts floating-point operations. `work` must be
/// `#[inline(always)]`, down to the loop, because a separate function would be compiled only for any CPU.
#[inline(always)]
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Converts `x` to a byte, clipped and truncated, as `x as u8` does, but with operations that vectorize.
#[inline(always)]
pub(crate) fn cut_off(x: f32) -> u8 {
    const SHIFT: f32 = 8_388_608.0; // 2²³: from here on, floats are whole numbers, whose last bits count them.
    let x = if x > 0.0 { x } else { 0.0 };
    let x = if x < 255.0 { x } else { 255.0 };
    let shifted = x + SHIFT;
    let too_much = u32::from(shifted - SHIFT > x); // The addition has rounded, and maybe up.
    (shifted.to_bits() - too_much) as u8
}

/// [`cut_off`] in double precision.
#[inline(always)]
pub(crate) fn cut_off_f64(x: f64) -> u8 {
    const SHIFT: f64 = 4_503_599_627_370_496.0; // 2⁵².
    let x = if x > 0.0 { x } else { 0.0 };
    let x = if x < 255.0 { x } else { 255.0 };
    let shifted = x + SHIFT;
    let too_much = u64::from(shifted - SHIFT > x);
    (shifted.to_bits() - too_much) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_off_is_what_the_language_does() {
        for i in -2000..60_000 {
            for x in [i as f32 / 200.0, (i as f32 / 200.0).next_down()] {
                assert_eq!(cut_off(x), x as u8, "{x}");
                assert_eq!(cut_off_f64(f64::from(x)), x as u8, "{x}");
            }
        }
        assert_eq!([cut_off(f32::INFINITY), cut_off(f32::NAN)], [255, 0]);
    }
}
