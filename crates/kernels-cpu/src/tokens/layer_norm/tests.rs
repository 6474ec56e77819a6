use rayon::ThreadPoolBuilder;

use super::{LayerNorm, LayerNormGradient};
use crate::{
    Family, Precision, Values,
    testing::{assert_close, differences, families, noise, weighted, wide},
};

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];
const EPS: f32 = 1e-6;
/// Rows and features: of one task and of several.
const SHAPES: [(usize, usize); 5] = [(1, 3), (6, 7), (15, 16), (2, 37), (401, 65)];

fn oracle(x: &[f64], scale: &[f64], shift: &[f64]) -> Vec<f64> {
    let d = scale.len();
    let row = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / d as f64;
        let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
        let at = |i: usize| (x[i] - mean) / (var + f64::from(EPS)).sqrt() * scale[i] + shift[i];
        (0..d).map(at).collect::<Vec<_>>()
    };
    x.chunks(d).flat_map(row).collect()
}

/// The gradients of `sum(weights * output)` in input, scale and shift.
fn gradient_oracle(x: &[f64], scale: &[f64], weights: &[f64]) -> [Vec<f64>; 3] {
    let d = scale.len();
    let (mut by_x, mut by_scale, mut by_shift) = (Vec::new(), vec![0.0; d], vec![0.0; d]);
    for (x, weights) in x.chunks(d).zip(weights.chunks(d)) {
        let mean = x.iter().sum::<f64>() / d as f64;
        let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
        let std = (var + f64::from(EPS)).sqrt();
        let normalized: Vec<f64> = x.iter().map(|x| (x - mean) / std).collect();
        let scaled: Vec<f64> = weights.iter().zip(scale).map(|(weight, scale)| weight * scale).collect();
        let plain = scaled.iter().sum::<f64>() / d as f64;
        let along = scaled.iter().zip(&normalized).map(|(a, b)| a * b).sum::<f64>() / d as f64;
        for i in 0..d {
            by_x.push((scaled[i] - plain - normalized[i] * along) / std);
            by_scale[i] += weights[i] * normalized[i];
            by_shift[i] += weights[i];
        }
    }
    [by_x, by_scale, by_shift]
}

#[test]
fn the_oracle_agrees_with_differences() {
    let (x, scale, shift, weights) = (noise(1, 21), noise(2, 7), noise(3, 7), noise(4, 21));
    let (x, scale, shift) = (wide(&x), wide(&scale), wide(&shift));
    let [by_x, by_scale, by_shift] = gradient_oracle(&x, &scale, &wide(&weights));
    let same = |exact: &[f64], by_difference: &[f64]| {
        exact.iter().zip(by_difference).for_each(|(a, b)| assert!((a - b).abs() < 1e-8, "{a} is not {b}"));
    };
    same(&by_x, &differences(|x| weighted(&oracle(x, &scale, &shift), &weights), &x));
    same(&by_scale, &differences(|scale| weighted(&oracle(&x, scale, &shift), &weights), &scale));
    same(&by_shift, &differences(|shift| weighted(&oracle(&x, &scale, shift), &weights), &shift));
}

#[test]
fn outputs_and_gradients_agree_with_double_precision() {
    for (n, d) in SHAPES {
        let (scale, shift) = (noise(2, d), noise(3, d));
        for (of_x, of_gradient) in
            PRECISIONS.into_iter().flat_map(|x| PRECISIONS.map(|gradient| (x, gradient)))
        {
            let x = Values::new(noise(1, n * d), of_x);
            let weights = || Values::new(noise(4, n * d), of_gradient);
            let others = || Values::new(noise(5, n * d), of_gradient);
            let (wide_x, wide_scale) = (wide(&x.whole()), wide(&scale));
            let expected = oracle(&wide_x, &wide_scale, &wide(&shift));
            let [by_x, by_scale, by_shift] = gradient_oracle(&wide_x, &wide_scale, &wide(&weights().whole()));
            let with_others: Vec<f64> =
                by_x.iter().zip(wide(&others().whole())).map(|(by_x, other)| by_x + other).collect();
            // What is written in bfloat16 is rounded by up to 2^-8 of its value.
            let rounding = |precision| if precision == Precision::Bf16 { 4e-3 } else { 0.0 };
            for family in families() {
                let what =
                    |part: &str| format!("{family:?}, {n} rows of {d}, {of_x:?} {of_gradient:?}: {part}");
                let norm = LayerNorm { scale: &scale, eps: EPS };
                let y = norm.forward(family, &x, &shift);
                assert_eq!(y.precision(), of_x);
                assert_close(&what("output"), &y.into_whole(), &expected, 1e-5 + rounding(of_x));
                for (sum, expected) in [(None, &by_x), (Some(others()), &with_others)] {
                    let got = norm.backward(family, &x, weights(), sum);
                    assert_eq!(got.x.precision(), of_gradient);
                    assert_close(&what("input"), &got.x.into_whole(), expected, 1e-4 + rounding(of_gradient));
                    assert_close(&what("scale"), &got.scale, &by_scale, 1e-5);
                    assert_close(&what("shift"), &got.shift, &by_shift, 1e-5);
                }
            }
        }
    }
}

#[test]
fn a_mean_far_from_zero_does_not_cost_the_variance_its_digits() {
    let x: Vec<f32> = noise(1, 2 * 192).iter().map(|value| 1000.0 + value).collect();
    let expected = oracle(&wide(&x), &[1.0; 192], &[0.0; 192]);
    let x = Values::F32(x);
    for family in families() {
        let y = LayerNorm { scale: &[1.0; 192], eps: EPS }.forward(family, &x, &[0.0; 192]);
        // A value of 1000 has steps of 6e-5.
        assert_close("output", &y.into_whole(), &expected, 2e-4);
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (n, d) = (1001, 65);
    let scale = noise(2, d);
    for precision in PRECISIONS {
        let x = Values::new(noise(1, n * d), precision);
        let run = |family: Family, n_threads: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| {
                let (norm, gradient) = (LayerNorm { scale: &scale, eps: EPS }, noise(3, n * d));
                let gradient = Values::new(gradient, precision);
                let got = norm.backward(family, &x, gradient, None);
                let LayerNormGradient { x, scale, shift } = got;
                (x.into_whole(), scale, shift)
            })
        };
        for family in families() {
            let expected = run(family, 1);
            assert!(run(family, 2) == expected && run(family, 64) == expected, "{family:?} {precision:?}");
        }
    }
}
