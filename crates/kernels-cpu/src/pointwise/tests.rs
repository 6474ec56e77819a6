//! ReLU and sums, value by value.

use super::{add_to, mask, masked, rectify, relu, sum};
use crate::{
    Precision, Values,
    testing::{assert_close, families, noise, wide},
};

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// More than one part, and no whole number of registers.
const LEN: usize = 2 * super::ELEMENTWISE_LEN + 77;

fn tolerance(precision: Precision) -> f64 {
    if precision == Precision::F32 { 1e-6 } else { 4e-3 }
}

#[test]
fn relu_and_its_gradient_agree_with_their_definition() {
    for family in families() {
        for precision in PRECISIONS {
            let x = Values::new(noise(1, LEN), precision);
            let y = relu(family, &x);
            assert_eq!(y.precision(), precision);
            let expected: Vec<f32> = x.whole().iter().map(|value| value.max(0.0)).collect();
            assert_eq!(*y.whole(), expected, "{family:?}");
            assert_eq!(rectify(family, &x.whole()), expected, "{family:?}");
            for precision_of_gradient in PRECISIONS {
                let gradient = Values::new(noise(2, LEN), precision_of_gradient);
                let mut in_place = gradient.whole().into_owned();
                let of_both = in_place.iter().zip(&expected);
                let expected: Vec<f32> =
                    of_both.map(|(&gradient, &y)| if y > 0.0 { gradient } else { 0.0 }).collect();
                mask(family, &mut in_place, &y.whole());
                assert_eq!(in_place, expected, "{family:?}");
                let got = masked(family, gradient, &y);
                assert_eq!(got.precision(), precision_of_gradient);
                assert_eq!(*got.whole(), expected, "{family:?}");
            }
        }
    }
}

#[test]
fn sums_of_branches_agree_with_double_precision() {
    for family in families() {
        for (a, b) in PRECISIONS.into_iter().flat_map(|a| PRECISIONS.map(|b| (a, b))) {
            let (a, b) = (Values::new(noise(1, LEN), a), Values::new(noise(2, LEN), b));
            for is_rectified in [false, true] {
                let terms = wide(&a.whole()).into_iter().zip(wide(&b.whole()));
                let floor = if is_rectified { 0.0 } else { f64::NEG_INFINITY };
                let expected: Vec<f64> = terms.map(|(a, b)| (a + b).max(floor)).collect();
                let got = sum(family, &a, &b, is_rectified);
                assert_eq!(got.precision(), a.precision());
                assert_close(&format!("{family:?}"), &got.whole(), &expected, tolerance(a.precision()));
            }
        }
        let mut total = noise(1, LEN);
        add_to(family, &mut total, &noise(2, LEN));
        let expected: Vec<f32> = noise(1, LEN).iter().zip(noise(2, LEN)).map(|(a, b)| a + b).collect();
        assert_eq!(total, expected);
    }
}

#[test]
fn what_is_not_a_number_stays_so_and_has_no_gradient() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let x = [nan, -nan, inf, -inf, f32::MAX, f32::MIN, 0.0, -0.0].repeat(5);
    let expected = [nan, nan, inf, 0.0, f32::MAX, 0.0, 0.0, 0.0].repeat(5);
    let given = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0].repeat(5);
    let same = |got: &[f32], expected: &[f32]| {
        got.iter().zip(expected).all(|(got, expected)| got == expected || got.is_nan() && expected.is_nan())
    };
    for family in families() {
        let zeros = Values::F32(vec![0.0; x.len()]);
        let x = Values::F32(x.clone());
        for y in [relu(family, &x), sum(family, &x, &zeros, true)] {
            assert!(same(&y.whole(), &expected), "{family:?} {y:?}");
            let gradient = masked(family, Values::F32(vec![1.0; given.len()]), &y);
            assert_eq!(*gradient.whole(), given, "{family:?}");
        }
        assert!(same(&sum(family, &x, &zeros, false).whole(), &x.whole()), "{family:?}");
    }
}
