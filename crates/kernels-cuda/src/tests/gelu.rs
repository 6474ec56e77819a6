//! GELU at what is not a number, infinite, huge, next to 0, and far below it.

use kernels_cpu::{Precision, testing::SPECIAL_VALUES as VALUES};

use super::*;
use crate::linear::{Layer, Tail, Wanted};

/// GELU and its slope at each value: through a layer of weights of 1, whose outputs are all the same.
fn of(values: &[f32], n_out: usize) -> Vec<(f32, f32)> {
    let layer = Layer { n_rows: values.len(), n_in: 1, n_out, precision: Precision::F32 };
    let (ones, forms) = (upload(&vec![1.0; n_out]).unwrap(), Forms::default());
    let weight = Weight { values: &ones, forms: &forms };
    let x = Array::upload(values.to_vec()).unwrap();
    let (y, kept) = layer.forward(&x, weight, None, Tail::Gelu { is_kept: true }).unwrap();
    let (without_backward, _) = layer.forward(&x, weight, None, Tail::Gelu { is_kept: false }).unwrap();
    // One of the outputs, so that the gradient of the input is its slope.
    let gradient = (0..values.len() * n_out).map(|i| if i % n_out == 0 { 1.0 } else { 0.0 }).collect();
    let gradient = Array::upload(gradient).unwrap();
    let wanted = Wanted { residual: true, ..Wanted::default() };
    let slopes = layer.backward(weight, None, kept, gradient, wanted).unwrap().residual.unwrap();
    let [y, without_backward, slopes] = [y, without_backward, slopes].map(|array| array.to_host().unwrap());
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&y), bits(&without_backward));
    y.into_iter().zip(slopes).step_by(n_out).collect()
}

/// The values of the test of the host's GELU, in `kernels-cpu`.
#[test]
fn gelu_is_at_its_limits_far_from_zero() {
    // Alone, and four at a time.
    for n_out in [1, 4] {
        for (&x, (y, slope)) in VALUES.iter().zip(of(&VALUES, n_out)) {
            let what = format!("GELU of {x} is {y}, its slope {slope}");
            if x.is_nan() {
                assert!(y.is_nan() && slope.is_nan(), "{what}");
            } else if x >= 1e30 {
                assert!(y == x && slope == 1.0, "{what}");
            } else if x <= -1e30 {
                assert!(y.to_bits() == (-0.0_f32).to_bits() && slope.abs() < 1e-28, "{what}");
            } else if x.abs() < 1e-30 {
                assert!((y - x / 2.0).abs() <= f32::from_bits(1) && (slope - 0.5).abs() < 1e-6, "{what}");
                // The product before it makes a 0 of -0.
                assert!(x == 0.0 || y.is_sign_negative() == x.is_sign_negative(), "{what}");
            } else {
                // The normal distribution and its density at 3.
                let (phi, bell) = (0.998_650_1, 0.004_431_848);
                let expected =
                    if x > 0.0 { [x * phi, phi + x * bell] } else { [x * (1.0 - phi), 1.0 - phi + x * bell] };
                assert!((y - expected[0]).abs() < 1e-6 && (slope - expected[1]).abs() < 1e-6, "{what}");
            }
        }
    }
}

#[test]
fn gelu_keeps_its_digits_far_below_zero() {
    let values = [-1.5, -2.0, -3.0, -5.0, -8.0, -11.0, -13.0_f32];
    for n_out in [1, 4] {
        for (&x, (y, slope)) in values.iter().zip(of(&values, n_out)) {
            let x = f64::from(x);
            let bell = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            // The continued fraction of Mills's ratio.
            let below = bell / (1..300).rev().fold(-x, |rest, i| -x + f64::from(i) / rest);
            for (got, expected) in [(y, x * below), (slope, below + x * bell)] {
                let error = (f64::from(got) - expected).abs() / expected.abs();
                assert!(error < 3e-5, "at {x}: {got}, the oracle says {expected}");
            }
        }
    }
}
