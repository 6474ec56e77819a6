//! ReLU and GELU at what is not a number, infinite, huge, next to 0, and 0 of both signs.

use crate::{
    Layout, Precision,
    norm::{Affine, Coefficients, Groups, Statistics, Tail, apply},
    pointwise,
    simd::{Kernel, Lanes, for_registers, read_some, where_positive, write_some},
    testing::{SPECIAL_VALUES as VALUES, families},
    values::Values,
};

/// Whether two values have the same bits, or are both not a number.
fn is_same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// Functions of two registers, to one slice each.
struct OfTwo<'a> {
    a: &'a [f32],
    b: &'a [f32],
    max: &'a mut [f32],
    min: &'a mut [f32],
    where_positive: &'a mut [f32],
}

impl Kernel for OfTwo<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for_registers!(L, self.a.len(), |at, n| {
            let (a, b) = (read_some::<L, _>(self.a, at, n, 0.0), read_some::<L, _>(self.b, at, n, 0.0));
            write_some::<L, _>(self.max, at, n, L::max(a, b));
            write_some::<L, _>(self.min, at, n, L::min(a, b));
            write_some::<L, _>(self.where_positive, at, n, where_positive::<L>(a, b));
        });
    }
}

#[test]
fn comparisons_are_the_same_in_every_family() {
    let pairs: Vec<(f32, f32)> = VALUES.iter().flat_map(|&a| VALUES.map(|b| (a, b))).collect();
    let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
    for family in families() {
        let [mut max, mut min, mut positive] = [(); 3].map(|()| vec![0.0; a.len()]);
        let (to_max, to_min) = (&mut max, &mut min);
        family.run(OfTwo { a: &a, b: &b, max: to_max, min: to_min, where_positive: &mut positive });
        for (i, &(a, b)) in pairs.iter().enumerate() {
            let expected =
                [if a > b { a } else { b }, if a < b { a } else { b }, if a > 0.0 { b } else { 0.0 }];
            let got = [max[i], min[i], positive[i]];
            assert!(
                got.iter().zip(&expected).all(|(&got, &expected)| is_same(got, expected)),
                "{family:?}: max, min and where positive of {a} and {b} are {got:?}, not {expected:?}"
            );
        }
    }
}

/// What ReLU gives for `x`.
fn relu(x: f32) -> f32 {
    if x.is_nan() || x > 0.0 { x } else { 0.0 }
}

/// Zeros are equal here, and the smallest numbers of bfloat16 are zeros to some instructions.
#[track_caller]
fn assert_relu(what: &str, precision: Precision, x: &[f32], y: &Values) {
    for (&x, &y) in x.iter().zip(y.whole().iter()) {
        let is_tiny = precision == Precision::Bf16 && x.abs() < f32::MIN_POSITIVE;
        let is_right = y == relu(x) || y.is_nan() && x.is_nan() || is_tiny && y == 0.0;
        assert!(is_right, "{what}: ReLU of {x} is {y}");
    }
}

#[test]
fn relu_keeps_what_is_not_a_number_and_what_is_infinite() {
    let layout = Layout { n: 3, h: 1, w: 1, c: VALUES.len() };
    let groups = Groups { layout, splits: 1 };
    let (zeros, ones) = (vec![0.0; layout.c], vec![1.0; layout.c]);
    let statistics = Statistics::running(&zeros, &ones);
    let coefficients = Coefficients::new(&statistics, Affine { scale: None, shift: None, eps: 0.0 });
    for precision in [Precision::F32, Precision::Bf16] {
        let x = Values::new(VALUES.repeat(3), precision);
        let nothing = Values::new(vec![0.0; x.len()], precision);
        for family in families() {
            let what = |kernel| format!("{kernel}, {precision:?}, {family:?}");
            let values = &x.whole();
            assert_relu(&what("alone"), precision, values, &pointwise::relu(family, &x));
            let sum = pointwise::sum(family, &x, &nothing, true);
            assert_relu(&what("after a sum"), precision, values, &sum);
            for residual in [None, Some(&nothing)] {
                let y = apply(family, groups, &coefficients, &x, residual, Tail::Relu);
                assert_relu(&what("after a norm"), precision, values, &y);
                let y = apply(family, groups, &coefficients, &x, residual, Tail::Plain);
                for (&x, &y) in values.iter().zip(y.whole().iter()) {
                    let is_kept = y == x || y.is_nan() && x.is_nan();
                    assert!(is_kept || y == 0.0 && x.abs() < f32::MIN_POSITIVE, "{family:?}: {x} to {y}");
                }
            }
            let ones = Values::new(vec![1.0; x.len()], precision);
            let masked = pointwise::masked(family, ones, &x);
            for (&x, &gradient) in values.iter().zip(masked.whole().iter()) {
                assert_eq!(gradient, if x > 0.0 { 1.0 } else { 0.0 }, "{family:?}: the gradient at {x}");
            }
        }
    }
}

#[test]
fn gelu_is_at_its_limits_far_from_zero() {
    for family in families() {
        let (mut values, mut slopes) = (VALUES, [0.0; VALUES.len()]);
        family.run(super::Gelu(&mut values, &mut slopes));
        for ((&x, &y), &slope) in VALUES.iter().zip(&values).zip(&slopes) {
            let what = format!("{family:?}: GELU of {x} is {y}, its slope {slope}");
            if x.is_nan() {
                assert!(y.is_nan() && slope.is_nan(), "{what}");
            } else if x >= 1e30 {
                assert!(y == x && slope == 1.0, "{what}");
            } else if x <= -1e30 {
                assert!(is_same(y, -0.0) && slope.abs() < 1e-28, "{what}");
            } else if x.abs() < 1e-30 {
                assert!((y - x / 2.0).abs() <= f32::from_bits(1) && (slope - 0.5).abs() < 1e-6, "{what}");
                assert_eq!(y.is_sign_negative(), x.is_sign_negative(), "{what}");
            } else {
                // Φ(3) and the bell at 3.
                let (phi, bell) = (0.998_650_1, 0.004_431_848);
                let expected =
                    if x > 0.0 { [x * phi, phi + x * bell] } else { [x * (1.0 - phi), 1.0 - phi + x * bell] };
                assert!((y - expected[0]).abs() < 1e-6 && (slope - expected[1]).abs() < 1e-6, "{what}");
            }
        }
    }
}
