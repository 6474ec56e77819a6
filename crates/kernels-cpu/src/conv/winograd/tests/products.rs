//! Every size and padding that the algorithm takes.

use super::{Case, SAME};
use crate::{
    ConvGeometry, Precision, Values,
    conv::{ConvAlgorithm, Convolution},
    testing::{assert_close, families, noise},
};

fn padded(y: usize, x: usize) -> ConvGeometry {
    ConvGeometry { padding: (y, x), ..SAME }
}

#[test]
fn every_family_agrees_with_the_definition() {
    let cases = [
        ([5, 8, 8, 16], 16, SAME),
        ([17, 4, 4, 8], 24, SAME),
        ([33, 7, 9, 5], 3, SAME),
        ([2, 1, 1, 1], 1, SAME),
        ([3, 5, 6, 70], 33, padded(0, 0)),
        ([3, 6, 5, 17], 9, padded(2, 2)),
        ([2, 6, 9, 4], 4, padded(0, 2)),
        // Wider than one strip of channels, and than what every task reads.
        ([19, 4, 4, 150], 140, SAME),
        ([35, 7, 7, 130], 150, SAME),
    ];
    for (shape, n_out, geometry) in cases {
        let case = Case::new(shape, n_out, geometry);
        let expected = case.oracle();
        for family in families() {
            let got = case.run(family, ConvAlgorithm::Winograd, Precision::F32);
            let what = |value: &str| format!("{value} of {}, {family:?}", case.name());
            assert_close(&what("output"), &got.y, &expected.y, 2e-6);
            assert_close(&what("gradient of the input"), &got.x, &expected.x, 2e-6);
            assert_close(&what("gradient of the weights"), &got.weight, &expected.weight, 5e-6);
        }
    }
}

#[test]
fn bfloat16_agrees_with_the_definition() {
    let cases = [
        ([5, 8, 8, 16], 32, SAME),
        ([17, 7, 9, 32], 16, SAME),
        ([3, 5, 6, 48], 16, padded(0, 0)),
        ([3, 6, 5, 16], 48, padded(2, 1)),
        ([19, 4, 4, 144], 160, SAME),
        // Channels that are no whole registers, and, for tasks that read all weights no longer, too many.
        ([5, 7, 9, 6], 5, SAME),
        ([18, 5, 4, 151], 140, SAME),
    ];
    for (shape, n_out, geometry) in cases {
        let case = Case::new(shape, n_out, geometry).rounded();
        let expected = case.oracle();
        for family in families() {
            let got = case.run(family, ConvAlgorithm::Winograd, Precision::Bf16);
            let what = |value: &str| format!("{value} of {}, {family:?}", case.name());
            assert_close(&what("output"), &got.y, &expected.y, 2.3e-2);
            assert_close(&what("gradient of the input"), &got.x, &expected.x, 1.9e-2);
            assert_close(&what("gradient of the weights"), &got.weight, &expected.weight, 1.5e-2);
        }
    }
}

#[test]
fn gradients_are_added_to_what_was_there() {
    let cases = [([5, 6, 7, 32], 16, SAME), ([17, 4, 4, 144], 160, SAME), ([3, 5, 6, 7], 9, padded(2, 0))];
    for (shape, n_out, geometry) in cases {
        let case = Case::new(shape, n_out, geometry).rounded();
        let before = Values::new(noise(4, case.x.len()), Precision::Bf16).into_whole();
        let mut expected = case.oracle().x;
        expected.iter_mut().zip(&before).for_each(|(sum, &before)| *sum += f64::from(before));
        for family in families() {
            for (precision, tolerance) in [(Precision::F32, 2e-6), (Precision::Bf16, 2e-2)] {
                let algorithm = ConvAlgorithm::Winograd;
                let conv = Convolution::new(family, algorithm, precision, geometry, case.from, case.to);
                let gradient = Values::new(case.to.pack(&case.gradient), precision);
                let before = Values::new(case.from.pack(&before), precision);
                let got = conv.data_gradient(&case.weight, &gradient, Some(before)).into_whole();
                let what = format!("gradient of the input of {}, {family:?}, {precision:?}", case.name());
                assert_close(&what, &case.from.unpack(&got), &expected, tolerance);
            }
        }
    }
}
