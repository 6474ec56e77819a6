use super::{LayerNorm, layer_norm, layer_norm_features, layer_norm_on};
use crate::{
    Device,
    testing::{
        assert_close, backward_weighted_rows, backward_weighted_tokens, differences, families, gradient_of,
        named_rows, noise, on_family, rows, tokens, vector, weighted, wide,
    },
    to_rows,
};

fn layer_norm_oracle(x: &[f64], scale: &[f64], shift: &[f64], eps: f64) -> Vec<f64> {
    let d = scale.len();
    let row = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / d as f64;
        let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
        let at = |i: usize| (x[i] - mean) / (var + eps).sqrt() * scale[i] + shift[i];
        (0..d).map(at).collect::<Vec<_>>()
    };
    x.chunks(d).flat_map(row).collect()
}

#[test]
fn layer_normalization_agrees_with_differences() {
    for family in families() {
        for shape in [[1, 1, 3], [2, 3, 7], [3, 5, 16], [1, 2, 37]] {
            let len = shape.iter().product();
            let d = shape[2];
            let (x, scale, shift, weights) = (noise(1, len), noise(2, d), noise(3, d), noise(4, len));
            let mut norm = LayerNorm::new(&Device::default(), d, 1e-6).unwrap();
            (norm.scale, norm.shift) = (vector(&scale), vector(&shift));
            let input = tokens(shape, &x);
            let kept = input.share();
            let y = on_family!(family, |backend| layer_norm_on(backend, input, &norm)).unwrap();
            let (x, scale, shift) = (wide(&x), wide(&scale), wide(&shift));
            let oracle = |x: &[f64], scale: &[f64], shift: &[f64]| layer_norm_oracle(x, scale, shift, 1e-6);
            assert_close("output", &y.to_rows(), &oracle(&x, &scale, &shift), 1e-5);
            let mut gradients = backward_weighted_tokens(y, &weights);
            let by_x = differences(|x| weighted(&oracle(x, &scale, &shift), &weights), &x);
            assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-4);
            let by_scale = differences(|scale| weighted(&oracle(&x, scale, &shift), &weights), &scale);
            let got = norm.scale.gradient(&mut gradients).unwrap().unwrap();
            assert_close("scale", &got, &by_scale, 1e-5);
            let by_shift = differences(|shift| weighted(&oracle(&x, &scale, shift), &weights), &shift);
            let got = norm.shift.gradient(&mut gradients).unwrap().unwrap();
            assert_close("shift", &got, &by_shift, 1e-5);
        }
    }
}

#[test]
fn layer_normalization_of_rows_is_that_of_tokens() {
    for (n, d) in [(1, 3), (5, 16), (3, 37)] {
        let (x, scale, shift, weights) = (noise(1, n * d), noise(2, d), noise(3, d), noise(4, n * d));
        let mut norm = LayerNorm::new(&Device::default(), d, 1e-6).unwrap();
        (norm.scale, norm.shift) = (vector(&scale), vector(&shift));
        let (name, input) = named_rows((n, d), &x);
        let y = layer_norm_features(input, &norm).unwrap();
        let (x, scale, shift) = (wide(&x), wide(&scale), wide(&shift));
        let oracle = |x: &[f64], scale: &[f64], shift: &[f64]| layer_norm_oracle(x, scale, shift, 1e-6);
        assert_close("output", &to_rows(&y), &oracle(&x, &scale, &shift), 1e-5);
        let mut gradients = backward_weighted_rows(y, &weights);
        let by_x = differences(|x| weighted(&oracle(x, &scale, &shift), &weights), &x);
        assert_close("input", &gradient_of(&name, &mut gradients), &by_x, 1e-4);
        let by_scale = differences(|scale| weighted(&oracle(&x, scale, &shift), &weights), &scale);
        let got = norm.scale.gradient(&mut gradients).unwrap().unwrap();
        assert_close("scale", &got, &by_scale, 1e-5);
        let by_shift = differences(|shift| weighted(&oracle(&x, &scale, shift), &weights), &shift);
        let got = norm.shift.gradient(&mut gradients).unwrap().unwrap();
        assert_close("shift", &got, &by_shift, 1e-5);
    }
    let norm = LayerNorm::new(&Device::default(), 3, 1e-6).unwrap();
    let error = layer_norm_features(rows((1, 2), &[1.0, 2.0]), &norm).unwrap_err();
    assert_eq!(error.to_string(), "layer_norm_features: values of scale and shift must be 2, got 3");
}

#[test]
fn a_mean_far_from_zero_does_not_cost_the_variance_its_digits() {
    let x: Vec<f32> = noise(1, 2 * 192).iter().map(|value| 1000.0 + value).collect();
    let norm = LayerNorm::new(&Device::default(), 192, 1e-6).unwrap();
    let y = layer_norm(tokens([1, 2, 192], &x), &norm).unwrap();
    let expected = layer_norm_oracle(&wide(&x), &[1.0; 192], &[0.0; 192], 1e-6);
    // A value of 1000 has steps of 6e-5.
    assert_close("output", &y.to_rows(), &expected, 2e-4);
}
