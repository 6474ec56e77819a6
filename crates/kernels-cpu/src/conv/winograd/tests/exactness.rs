//! How much less exact the transforms are than the definition, both in single precision.

use super::{Case, SAME};
use crate::{Precision, conv::ConvAlgorithm, testing::families};

/// Images, side and channels of the layers of ResNet-18 on 32 px, and of ResNet-50 on 224 px.
const LAYERS: [[usize; 3]; 8] = [
    [4, 32, 64],
    [8, 16, 128],
    [16, 8, 256],
    [32, 4, 512],
    [2, 56, 64],
    [4, 28, 128],
    [8, 14, 256],
    [16, 7, 512],
];

/// Root of the mean square, and greatest error, against the oracle's root of the mean square.
struct Errors {
    rms: f64,
    max: f64,
}

impl Errors {
    fn of(got: &[f32], expected: &[f64]) -> Self {
        let size = (expected.iter().map(|value| value * value).sum::<f64>() / expected.len() as f64).sqrt();
        let errors =
            got.iter().zip(expected).map(|(&got, expected)| (f64::from(got) - expected).abs() / size);
        let (sum, max) =
            errors.fold((0.0, 0.0_f64), |(sum, max), error| (sum + error * error, max.max(error)));
        Self { rms: (sum / expected.len() as f64).sqrt(), max }
    }
}

/// How many times greater its errors may be than those of the definition.
const MAX_RATIO: f64 = 1.5;

/// The same where products are rounded before they are added: the transforms have more of them in a row.
const MAX_UNFUSED_RATIO: f64 = 1.65;

/// Gradients of weights that are as exact as this may be further from the definition's, whose sums over few positions are
/// nearly exact.
const MAX_WEIGHTS_ERROR: f64 = 9e-7;

#[test]
fn transforms_cost_little_of_the_exactness() {
    for [n, side, c] in LAYERS {
        let case = Case::new([n, side, side, c], 32, SAME);
        let expected = case.oracle();
        let back = Case::new([n, side, side, 32], c, SAME);
        let back_expected = back.oracle();
        for family in families() {
            let run = |case: &Case, algorithm| case.run(family, algorithm, Precision::F32);
            let [direct, winograd] = [ConvAlgorithm::Direct, ConvAlgorithm::Winograd].map(|algorithm| {
                let (got, back) = (run(&case, algorithm), run(&back, algorithm));
                [
                    ("output", Errors::of(&got.y, &expected.y)),
                    ("gradient of the input", Errors::of(&back.x, &back_expected.x)),
                    ("gradient of the weights", Errors::of(&got.weight, &expected.weight)),
                ]
            });
            for ((what, direct), (_, winograd)) in direct.into_iter().zip(winograd) {
                let (rms, max) = (winograd.rms / direct.rms, winograd.max / direct.max);
                let is_fused = !format!("{family:?}").starts_with("portable");
                let most = if is_fused { MAX_RATIO } else { MAX_UNFUSED_RATIO };
                let is_right = match what {
                    "gradient of the weights" => rms <= most || winograd.rms <= MAX_WEIGHTS_ERROR,
                    _ => rms <= most && max <= MAX_RATIO,
                };
                assert!(
                    is_right,
                    "{what} of {}, {family:?}: errors are {rms:.2} times {:.1e}, at most {max:.2} times {:.1e}",
                    case.name(),
                    direct.rms,
                    direct.max,
                );
            }
        }
    }
}
