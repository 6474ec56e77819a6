use rayon::ThreadPoolBuilder;

use super::{Sizes, backward, forward};
use crate::{
    Family, Precision, Values,
    testing::{assert_close, attention as oracle, differences, families, noise, weighted, wide},
};

fn noise_of_spread(seed: u32, len: usize, spread: f32) -> Vec<f32> {
    noise(seed, len).iter().map(|value| value * spread).collect()
}

#[test]
fn the_oracle_agrees_with_differences() {
    let (t, heads) = (4, 2);
    let (qkv, weights) = (wide(&noise_of_spread(1, t * 18, 2.0)), noise(2, t * 6));
    let (_, gradient) = oracle(&qkv, &wide(&weights), t, heads);
    let value = |qkv: &[f64]| weighted(&oracle(qkv, &wide(&weights), t, heads).0, &weights);
    for (exact, by_difference) in gradient.iter().zip(differences(value, &qkv)) {
        assert!((exact - by_difference).abs() < 1e-8, "{exact} is not {by_difference}");
    }
}

/// Images, tokens, features, heads, and how far values spread. Blocks of queries: one, two, and seven. Heads: narrower than a
/// register, wider than a panel, neither; of an odd number of features, and of an even one.
const CASES: [([usize; 3], usize, f32); 9] = [
    ([1, 1, 1], 1, 1.0),
    ([2, 5, 6], 2, 1.0),
    ([3, 16, 32], 2, 3.0),
    ([1, 17, 9], 1, 30.0),
    ([2, 65, 64], 1, 4.0),
    ([1, 97, 51], 3, 2.0),
    ([1, 99, 68], 2, 2.0),
    ([1, 197, 40], 2, 1.0),
    ([1, 577, 16], 1, 4.0),
];

fn sizes([_, t, d]: [usize; 3], heads: usize) -> Sizes {
    Sizes { t, heads, dh: d / heads }
}

/// [`oracle`] of several images.
fn oracle_of_images(
    qkv: &[f32],
    weights: &[f32],
    [_, t, d]: [usize; 3],
    heads: usize,
) -> (Vec<f64>, Vec<f64>) {
    let (qkv, weights) = (wide(qkv), wide(weights));
    let images = qkv.chunks(t * 3 * d).zip(weights.chunks(t * d));
    let (out, gradient): (Vec<_>, Vec<_>) =
        images.map(|(qkv, weights)| oracle(qkv, weights, t, heads)).unzip();
    (out.concat(), gradient.concat())
}

#[test]
fn attention_agrees_with_its_definition_at_all_sizes() {
    for (shape, heads, spread) in CASES {
        let [n, t, d] = shape;
        let (qkv, weights) = (noise_of_spread(1, n * t * 3 * d, spread), noise(2, n * t * d));
        let (out, gradient) = oracle_of_images(&qkv, &weights, shape, heads);
        let qkv = Values::F32(qkv);
        for family in families() {
            let what = |part: &str| format!("{family:?}, {n} images of {t} tokens of {d}: {part}");
            let (got, normalizers) = forward(family, sizes(shape, heads), &qkv);
            assert_close(&what("output"), &got.into_whole(), &out, 1e-5);
            let got =
                backward(family, sizes(shape, heads), &qkv, &normalizers, &Values::F32(weights.clone()));
            assert_close(&what("input"), &got.into_whole(), &gradient, 2e-5);
        }
    }
}

#[test]
fn attention_of_bfloat16_is_off_by_its_rounding_at_most() {
    // Outputs are rounded by up to 2^-8 of their value. Where pairs are multiplied, so are probabilities and the gradients of logits.
    for (shape, heads, spread) in CASES {
        let [n, t, d] = shape;
        let qkv = Values::new(noise_of_spread(1, n * t * 3 * d, spread), Precision::Bf16);
        let weights = Values::new(noise(2, n * t * d), Precision::Bf16);
        let (out, gradient) = oracle_of_images(&qkv.whole(), &weights.whole(), shape, heads);
        for family in families() {
            let what = |part: &str| format!("{family:?}, {n} images of {t} tokens of {d}: {part}");
            let (got, normalizers) = forward(family, sizes(shape, heads), &qkv);
            assert_eq!(got.precision(), Precision::Bf16);
            assert_close(&what("output"), &got.into_whole(), &out, 4e-3);
            let got = backward(family, sizes(shape, heads), &qkv, &normalizers, &weights);
            assert_eq!(got.precision(), Precision::Bf16);
            assert_close(&what("input"), &got.into_whole(), &gradient, 6e-3);
            // Gradients in single precision are not rounded.
            let single = Values::F32(weights.whole().into_owned());
            let got = backward(family, sizes(shape, heads), &qkv, &normalizers, &single);
            assert_close(&what("input in single precision"), &got.into_whole(), &gradient, 3e-5);
        }
    }
}

#[test]
fn logits_far_from_zero_neither_overflow_nor_vanish() {
    // Every query and key is the same: logits of 4e6, all alike.
    let qkv = [vec![2000.0; 2], vec![1.0]].concat().repeat(20);
    for precision in [Precision::F32, Precision::Bf16] {
        for family in families() {
            let qkv = Values::new(qkv.clone(), precision);
            let (got, _) = forward(family, sizes([1, 20, 1], 1), &qkv);
            assert_close("output", &got.into_whole(), &[1.0; 20], 1e-6);
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let shape = [5, 110, 24];
    for precision in [Precision::F32, Precision::Bf16] {
        let qkv = Values::new(noise(1, 5 * 110 * 72), precision);
        let gradient = Values::new(noise(2, 5 * 110 * 24), precision);
        let run = |family: Family, n_threads: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| {
                let sizes = sizes(shape, 3);
                let (values, normalizers) = forward(family, sizes, &qkv);
                let gradient = backward(family, sizes, &qkv, &normalizers, &gradient);
                let bits = [values, gradient].map(|values| values.into_whole());
                bits.concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
            })
        };
        for family in families() {
            let expected = run(family, 1);
            assert!(run(family, 2) == expected && run(family, 64) == expected, "{family:?} {precision:?}");
        }
    }
}
