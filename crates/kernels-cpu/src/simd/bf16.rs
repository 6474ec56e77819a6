//! Between single precision and bfloat16, its upper half.

use super::{Family, Kernel, Lanes};

/// `to[i] = from[i]`, exactly: the same bits in every family.
pub(crate) fn widen(family: Family, from: &[u16], to: &mut [f32]) {
    family.run(Widen { from, to });
}

/// `to[i] = from[i]`, rounded to the nearest, ties to even, as processors and PyTorch do: the same bits in every family.
pub(crate) fn narrow(family: Family, from: &[f32], to: &mut [u16]) {
    family.run(Narrow { from, to });
}

/// The value of a bfloat16.
#[inline(always)]
pub(super) fn widened(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// The nearest bfloat16, of two the even one.
#[inline(always)]
pub(crate) fn rounded(value: f32) -> u16 {
    let bits = value.to_bits();
    // Half of what is cut off, less one where the result would be even: a carry rounds up.
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    // A NaN stays one, whichever of its bits are cut off.
    let quiet = (bits >> 16) | 0x40;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { quiet } else { rounded }) as u16
}

struct Widen<'a> {
    from: &'a [u16],
    to: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            *to = widened(from);
        }
    }
}

struct Narrow<'a> {
    from: &'a [f32],
    to: &'a mut [u16],
}

impl Kernel for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            *to = rounded(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{narrow, rounded, widen};
    use crate::testing::families;

    #[test]
    fn values_are_rounded_to_the_nearest_and_ties_to_even() {
        let cases: [(u32, u16); 9] = [
            (0x3f80_0000, 0x3f80),
            (0x3f80_7fff, 0x3f80),
            (0x3f80_8000, 0x3f80),
            (0x3f80_8001, 0x3f81),
            (0x3f81_8000, 0x3f82),
            (0xbf81_8000, 0xbf82),
            (0x7f7f_ffff, 0x7f80),
            (0xff80_0000, 0xff80),
            (0x0000_8000, 0x0000),
        ];
        let values: Vec<f32> = cases.iter().map(|&(bits, _)| f32::from_bits(bits)).collect();
        let expected: Vec<u16> = cases.iter().map(|&(_, narrow)| narrow).collect();
        for family in families() {
            let mut got = vec![0; values.len()];
            narrow(family, &values, &mut got);
            assert_eq!(got, expected, "{family:?}");
        }
    }

    /// [`Values`](crate::Values) are converted by whichever family is at hand.
    #[test]
    fn all_families_round_and_widen_to_the_same_bits() {
        // All bits from the sixteenth on, which decide, and some of those below; a length that is no multiple of a register.
        let values: Vec<f32> = (0..(1 << 18) - 3_u32)
            .map(|i| f32::from_bits((i << 14) | (i.wrapping_mul(0x9e37_79b9) >> 18)))
            .collect();
        let expected: Vec<u16> = values.iter().map(|&value| rounded(value)).collect();
        let widened: Vec<u32> = expected.iter().map(|&half| u32::from(half) << 16).collect();
        for family in families() {
            let mut halves = vec![0; values.len()];
            narrow(family, &values, &mut halves);
            assert!(halves == expected, "{family:?}");
            let mut wide = vec![0.0; halves.len()];
            widen(family, &halves, &mut wide);
            assert!(wide.iter().map(|value| value.to_bits()).eq(widened.iter().copied()), "{family:?}");
        }
    }

    #[test]
    fn what_is_wide_already_comes_back() {
        for family in families() {
            let all: Vec<u16> = (0..=u16::MAX).collect();
            let mut wide = vec![0.0; all.len()];
            widen(family, &all, &mut wide);
            let mut back = vec![0; all.len()];
            narrow(family, &wide, &mut back);
            for (&before, (&wide, &back)) in all.iter().zip(wide.iter().zip(&back)) {
                assert!(before == back || wide.is_nan() && f32::from_bits(u32::from(back) << 16).is_nan());
            }
        }
    }
}
