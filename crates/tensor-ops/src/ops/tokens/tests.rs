use dfdx::tensor::{AsArray, PutTape, SplitTape};
use rayon::ThreadPoolBuilder;

use super::{
    LayerNorm, add_bias, add_position, attention, keep_token, layer_norm, linear_add_tokens,
    linear_gelu_tokens, linear_tokens, map_from_tokens, mean_tokens, prepend_token, prepend_tokens,
    rows_from_tokens, scale_features, select_token, tokens_from_map, tokens_from_rows,
};
use crate::{
    ConvGeometry, Device, FeatureMap, OpError, Parameter, ParameterKind, Precision, Recording, Rows as _,
    Tokens, backward, conv2d,
    testing::{
        assert_close, backward_weighted, backward_weighted_rows, backward_weighted_tokens, differences,
        image, noise, rows, tokens, vector, weight_matrix, weighted, wide,
    },
    to_rows, weighted_sum,
};

#[test]
fn tokens_become_the_map_that_they_came_from() {
    for shape in [[1, 1, 1, 1], [2, 3, 5, 4], [17, 2, 3, 33]] {
        let [n, h, w, c] = shape;
        let (x, weights) = (noise(1, n * h * w * c), noise(2, n * h * w * c));
        let input = tokens([n, h * w, c], &x);
        let (kept, other) = (input.share(), input.fork());
        let y = map_from_tokens(input, (h, w)).unwrap();
        assert_eq!((y.shape(), y.to_nhwc()), (shape, x.clone()));
        assert_eq!(tokens_from_map(y.share()).unwrap().to_rows(), x);
        let mut gradients = backward_weighted(y, &weights);
        assert_eq!(kept.gradient(&mut gradients).unwrap().unwrap(), weights);
        // Beside another branch, and in bfloat16, which holds these whole numbers.
        let halves: Vec<f32> = weights.iter().map(|weight| (weight * 8.0).round()).collect();
        let sum = crate::add(
            map_from_tokens(other.share().with_recording(Recording::start()), (h, w)).unwrap(),
            map_from_tokens(other.with_recording(Recording::start()), (h, w)).unwrap(),
        );
        let mut gradients = backward_weighted(sum.unwrap(), &halves);
        let twice: Vec<f32> = halves.iter().map(|weight| 2.0 * weight).collect();
        assert_eq!(kept.gradient(&mut gradients).unwrap().unwrap(), twice);
        let narrow = tokens([n, h * w, c], &halves).with_precision(Precision::Bf16);
        let map = map_from_tokens(narrow, (h, w)).unwrap();
        assert_eq!((map.precision(), map.to_nhwc()), (Precision::Bf16, halves));
    }
    let error = map_from_tokens(tokens([1, 6, 1], &noise(1, 6)), (2, 2)).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "map_from_tokens: number of tokens must be 2 * 2, those of the map, got 6");
    assert!(map_from_tokens(tokens([1, 6, 1], &noise(1, 6)), (usize::MAX, 2)).is_err());
}

#[test]
fn tokens_become_the_rows_that_they_came_from() {
    for shape in [[1, 1, 1], [3, 5, 4], [2, 17, 33]] {
        let [n, t, d] = shape;
        let (x, weights) = (noise(1, n * t * d), noise(2, n * t * d));
        let input = tokens(shape, &x);
        let kept = input.share();
        let y = rows_from_tokens(input).unwrap();
        assert_eq!((to_rows(&y), y.n()), (x.clone(), n * t));
        let y = tokens_from_rows(crate::scaled(y, 2.0).unwrap(), t).unwrap();
        let twice = |values: &[f32]| values.iter().map(|value| 2.0 * value).collect::<Vec<_>>();
        assert_eq!((y.shape(), y.to_rows()), (shape, twice(&x)));
        let mut gradients = backward_weighted_tokens(y, &weights);
        assert_eq!(kept.gradient(&mut gradients).unwrap().unwrap(), twice(&weights));
        // In bfloat16, which holds these whole numbers, and with a second branch.
        let whole: Vec<f32> = weights.iter().map(|weight| (weight * 8.0).round()).collect();
        let input = tokens(shape, &whole).with_precision(Precision::Bf16);
        let (kept, other) = (input.share(), input.fork());
        let rows = crate::plus(rows_from_tokens(input).unwrap(), rows_from_tokens(other).unwrap()).unwrap();
        let y = tokens_from_rows(rows, t).unwrap().with_precision(Precision::Bf16);
        assert_eq!((y.precision(), y.to_rows()), (Precision::Bf16, twice(&whole)));
        let mut gradients = backward_weighted_tokens(y, &whole);
        assert_eq!(kept.gradient(&mut gradients).unwrap().unwrap(), twice(&whole));
    }
    let error = tokens_from_rows(rows((5, 2), &noise(1, 10)), 3).map(drop).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tokens_from_rows: number of rows must be a multiple of 3, the tokens of an image, got 5"
    );
    assert!(tokens_from_rows(rows((5, 2), &noise(1, 10)), 0).is_err());
}

/// A block of a transformer, one operation after the other.
fn block(x: Tokens, norm: &LayerNorm, weights: [&Parameter; 4]) -> Tokens {
    let residual = x.share();
    let qkv = linear_tokens(layer_norm(x, norm).unwrap(), weights[0], None).unwrap();
    let x = linear_add_tokens(attention(qkv, 3).unwrap(), weights[1], None, residual).unwrap();
    let residual = x.share();
    let inner = linear_gelu_tokens(layer_norm(x, norm).unwrap(), weights[2], None).unwrap();
    linear_add_tokens(inner, weights[3], None, residual).unwrap()
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |n_threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let norm = LayerNorm::new(&Device::default(), 24, 1e-6).unwrap();
            let weight = |n_in: usize, n_out: usize| weight_matrix(n_in, n_out, &noise(2, n_in * n_out));
            let weights = [weight(24, 72), weight(24, 24), weight(24, 96), weight(96, 24)];
            let input = tokens([20, 50, 24], &noise(1, 24_000));
            let kept = input.share();
            let y = block(input, &norm, weights.each_ref());
            let mut values = y.to_rows();
            let mut gradients = backward_weighted_tokens(y, &noise(3, 24_000));
            values.extend(kept.gradient(&mut gradients).unwrap().unwrap());
            for parameter in weights.iter().chain([&norm.scale, &norm.shift]) {
                values.extend(parameter.gradient(&mut gradients).unwrap().unwrap());
            }
            values
        })
    };
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(run(1)), bits(run(3)));
}

#[test]
fn a_block_agrees_with_differences() {
    let (shape, len) = ([2, 3, 6], 36);
    let norm = LayerNorm::new(&Device::default(), 6, 1e-2).unwrap();
    let weight = |n_in: usize, n_out: usize| weight_matrix(n_in, n_out, &noise(2, n_in * n_out));
    let weights = [weight(6, 18), weight(6, 6), weight(6, 12), weight(12, 6)];
    let (x, factors) = (noise(1, len), noise(3, len));
    let input = tokens(shape, &x);
    let kept = input.share();
    let y = block(input, &norm, weights.each_ref());
    let mut gradients = backward_weighted_tokens(y, &factors);
    let got = kept.gradient(&mut gradients).unwrap().unwrap();
    // In single precision steps must be wide, so a second pair of them takes the cubic part away.
    let value = |at: usize, step: f32| {
        let mut x = x.clone();
        x[at] += step;
        weighted(&wide(&block(tokens(shape, &x), &norm, weights.each_ref()).to_rows()), &factors)
    };
    let slope = |at: usize, step: f32| (value(at, step) - value(at, -step)) / f64::from(2.0 * step);
    let step = 1.0 / 256.0;
    let expected: Vec<f64> =
        (0..len).map(|at| (4.0 * slope(at, step) - slope(at, 2.0 * step)) / 3.0).collect();
    assert_close("input", &got, &expected, 2e-3);
}

#[test]
fn tokens_are_made_of_images_and_get_their_places() {
    let shape = [18, 3, 2, 4];
    let len = shape.iter().product();
    let (x, token, table, bias) = (noise(1, len), noise(2, 4), noise(3, 7 * 4), noise(4, 4));
    let weights = noise(5, 18 * 7 * 4);
    let input = image(shape, &x);
    let kept = input.share();
    let (token_parameter, table_parameter, bias_parameter) = (vector(&token), vector(&table), vector(&bias));
    let y = tokens_from_map(input).unwrap();
    assert_eq!(y.shape(), [18, 6, 4]);
    let y = add_position(prepend_token(y, &token_parameter).unwrap(), &table_parameter).unwrap();
    let y = add_bias(y, &bias_parameter).unwrap();
    let at = |i: usize| {
        let (image, place) = (i / 28, i % 28);
        let value = if place < 4 { token[place] } else { x[image * 24 + place - 4] };
        f64::from(value) + f64::from(table[place]) + f64::from(bias[place % 4])
    };
    assert_close("output", &y.to_rows(), &(0..18 * 28).map(at).collect::<Vec<_>>(), 1e-6);

    let mut gradients = backward_weighted_tokens(y, &weights);
    let expected: Vec<f32> = weights.chunks(28).flat_map(|image| image[4..].to_vec()).collect();
    assert_eq!(kept.gradient(&mut gradients).unwrap().unwrap(), expected);
    let sum_of = |wanted: &dyn Fn(usize) -> usize, len: usize| {
        let mut sum = vec![0.0; len];
        for (i, &weight) in weights.iter().enumerate() {
            if let Some(sum) = sum.get_mut(wanted(i)) {
                *sum += f64::from(weight);
            }
        }
        sum
    };
    let by_token = token_parameter.gradient(&mut gradients).unwrap().unwrap();
    assert_close("token", &by_token, &sum_of(&|i| i % 28, 4), 1e-6);
    let by_table = table_parameter.gradient(&mut gradients).unwrap().unwrap();
    assert_close("table", &by_table, &sum_of(&|i| i % 28, 28), 1e-6);
    let by_bias = bias_parameter.gradient(&mut gradients).unwrap().unwrap();
    assert_close("bias", &by_bias, &sum_of(&|i| i % 4, 4), 1e-6);
}

#[test]
fn frozen_patches_need_no_gradient_and_keep_nothing() {
    let values = noise(2, 2 * 2 * 3 * 5);
    let mut patch =
        Parameter::new(&Device::default(), ParameterKind::Kernel, &[2, 2, 3, 5], values.clone()).unwrap();
    patch.set_trainable(false);
    let pixels = noise(1, 3 * 16 * 3);
    let x = FeatureMap::from_nhwc(&Device::default(), [3, 4, 4, 3], &pixels, Recording::start()).unwrap();
    let kept = x.share();
    let map = conv2d(x, &patch, None, ConvGeometry::square(2, 2, 0), crate::ConvAlgorithm::Auto).unwrap();
    assert_eq!(std::sync::Arc::strong_count(&kept.values), 1);
    let y = tokens_from_map(map).unwrap();
    assert!(!y.needs_gradient && y.is_recorded());
    let at = |i: usize| {
        let (image, patch, o) = (i / 20, i / 5 % 4, i % 5);
        let pixel = |tap: usize| (patch / 2 * 2 + tap / 2) * 4 + patch % 2 * 2 + tap % 2;
        let term = |j: usize| {
            f64::from(pixels[(image * 16 + pixel(j / 3)) * 3 + j % 3]) * f64::from(values[j * 5 + o])
        };
        (0..12).map(term).sum::<f64>()
    };
    assert_close("patches", &y.to_rows(), &(0..60).map(at).collect::<Vec<_>>(), 1e-6);

    let token = vector(&noise(3, 5));
    let y = prepend_token(y, &token).unwrap();
    let mut gradients = backward_weighted_tokens(y, &noise(4, 75));
    assert!(token.gradient(&mut gradients).unwrap().is_some());
    assert_eq!(kept.gradient(&mut gradients).unwrap(), None);
}

#[test]
fn scaled_features_and_several_tokens_before_agree_with_differences() {
    let [n, t, d] = [3, 2, 5];
    let (x, factors, before) = (noise(1, n * t * d), noise(2, d), noise(3, 2 * d));
    let weights = noise(4, n * (t + 2) * d);
    let oracle = |x: &[f64], factors: &[f64], before: &[f64]| -> Vec<f64> {
        let scaled: Vec<f64> = x.iter().enumerate().map(|(i, x)| x * factors[i % d]).collect();
        scaled.chunks(t * d).flat_map(|image| [before, image].concat()).collect()
    };
    let input = tokens([n, t, d], &x);
    let kept = input.share();
    let (of_factors, of_before) = (vector(&factors), vector(&before));
    let y = prepend_tokens(scale_features(input, &of_factors).unwrap(), &of_before).unwrap();
    assert_eq!(y.shape(), [n, t + 2, d]);
    let (x, factors, before) = (wide(&x), wide(&factors), wide(&before));
    assert_close("output", &y.to_rows(), &oracle(&x, &factors, &before), 1e-6);
    let mut gradients = backward_weighted_tokens(y, &weights);
    let by_x = differences(|x| weighted(&oracle(x, &factors, &before), &weights), &x);
    assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-5);
    let by_factors = differences(|factors| weighted(&oracle(&x, factors, &before), &weights), &factors);
    assert_close("factors", &of_factors.gradient(&mut gradients).unwrap().unwrap(), &by_factors, 1e-5);
    let by_before = differences(|before| weighted(&oracle(&x, &factors, before), &weights), &before);
    assert_close("before", &of_before.gradient(&mut gradients).unwrap().unwrap(), &by_before, 1e-5);
    let x = || tokens([1, 1, 5], &[0.0; 5]);
    for wrong in [0, 4, 6] {
        assert!(scale_features(x(), &vector(&vec![1.0; wrong.max(1)])).is_err());
        assert!(prepend_tokens(x(), &vector(&vec![1.0; wrong.max(1)])).is_err());
    }
}

#[test]
fn features_are_a_token_or_a_mean_of_tokens() {
    let (x, weights) = (noise(1, 3 * 4 * 5), noise(2, 15));
    for (first, n_tokens) in [(0, 1), (2, 1), (0, 4), (1, 3)] {
        let input = tokens([3, 4, 5], &x);
        let kept = input.share();
        let y = if n_tokens == 1 { select_token(input, first) } else { mean_tokens(input, first) }.unwrap();
        let oracle = |x: &[f64]| -> Vec<f64> {
            let mean = |image: &[f64], c: usize| {
                (first..first + n_tokens).map(|token| image[token * 5 + c]).sum::<f64>() / n_tokens as f64
            };
            x.chunks(20).flat_map(|image| (0..5).map(move |c| mean(image, c))).collect()
        };
        assert_close("output", &to_rows(&y), &oracle(&wide(&x)), 1e-6);
        let mut gradients = backward_weighted_rows(y, &weights);
        let by_x = differences(|x| weighted(&oracle(x), &weights), &wide(&x));
        assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-6);
    }
}

#[test]
fn one_token_is_kept_and_the_others_get_no_gradient() {
    let (x, weights) = (noise(1, 3 * 4 * 5), noise(2, 15));
    for token in [0, 3] {
        let input = tokens([3, 4, 5], &x);
        let kept = input.share();
        let y = keep_token(input, token).unwrap();
        assert_eq!(y.shape(), [3, 1, 5]);
        let mut expected = vec![0.0; 60];
        for image in 0..3 {
            assert_eq!(y.to_rows()[image * 5..][..5], x[(image * 4 + token) * 5..][..5]);
            expected[(image * 4 + token) * 5..][..5].copy_from_slice(&weights[image * 5..][..5]);
        }
        let mut gradients = backward_weighted_tokens(y, &weights);
        assert_eq!(kept.gradient(&mut gradients).unwrap().unwrap(), expected);
    }
}

#[test]
fn a_weighted_sum_sends_its_weights_backward() {
    let (x, recording) = rows((2, 3), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).split_tape();
    let weights = [1.0, 0.0, -1.0, 0.5, 2.0, 0.25];
    let sum = weighted_sum(x.clone().put_tape(recording), &weights).unwrap();
    assert_eq!(sum.array(), 1.0 - 3.0 + 2.0 + 10.0 + 1.5);
    assert_eq!(crate::testing::gradient_of(&x, &mut backward(sum).unwrap()), weights);
    assert!(matches!(weighted_sum(rows((1, 2), &[0.0; 2]), &[1.0]), Err(OpError::Shape { .. })));
}

#[test]
fn gradients_of_two_passes_add_up() {
    let (w, unused) = (vector(&[1.0, 2.0]), vector(&[1.0]));
    let pass = |weights: &[f32]| {
        let x = Tokens::from_rows(&Device::default(), [1, 1, 2], vec![0.0; 2], Recording::start()).unwrap();
        backward_weighted_tokens(add_bias(x, &w).unwrap(), weights)
    };
    let (mut into, mut first, mut second) = (pass(&[0.0; 2]), pass(&[1.0, 2.0]), pass(&[3.0, 5.0]));
    w.add_gradient(&mut into, &mut first).unwrap();
    w.add_gradient(&mut into, &mut second).unwrap();
    assert_eq!(w.gradient(&mut into).unwrap().unwrap(), [4.0, 7.0]);
    assert_eq!(w.gradient(&mut first).unwrap(), None);
    let mut empty = backward(weighted_sum(rows((1, 1), &[0.0]), &[0.0]).unwrap()).unwrap();
    w.add_gradient(&mut empty, &mut into).unwrap();
    assert_eq!(w.gradient(&mut empty).unwrap().unwrap(), [4.0, 7.0]);
    unused.add_gradient(&mut empty, &mut into).unwrap();
    assert_eq!(unused.gradient(&mut empty).unwrap(), None);
}

#[test]
fn wrong_sizes_are_errors() {
    let x = || tokens([2, 3, 4], &noise(1, 24));
    let w = weight_matrix(4, 5, &noise(2, 20));
    let is_shape = |result: Result<Tokens, OpError>| matches!(result, Err(OpError::Shape { .. }));
    let is_value = |result: Result<Tokens, OpError>| matches!(result, Err(OpError::Value { .. }));
    assert!(is_shape(add_position(x(), &vector(&[0.0; 4]))));
    assert!(is_shape(add_bias(x(), &vector(&[0.0; 12]))));
    assert!(is_shape(prepend_token(x(), &vector(&[0.0; 3]))));
    assert!(is_shape(layer_norm(x(), &LayerNorm::new(&Device::default(), 3, 1e-6).unwrap())));
    assert!(is_shape(linear_tokens(x(), &weight_matrix(3, 5, &noise(2, 15)), None)));
    assert!(is_shape(linear_tokens(x(), &vector(&[0.0; 4]), None)));
    assert!(is_shape(linear_gelu_tokens(x(), &w, Some(&vector(&[0.0; 4])))));
    assert!(is_shape(linear_add_tokens(x(), &w, None, x())));
    assert!(is_value(attention(x(), 0)));
    assert!(is_value(attention(x(), 1)));
    // Three times as many are 1 in 64 bits.
    assert!(is_value(attention(x(), 2 * (usize::MAX / 3) + 1)));
    assert!(is_value(attention(tokens([1, 1, 6], &noise(1, 6)), 4)));
    assert!(matches!(select_token(x(), 3), Err(OpError::Value { .. })));
    assert!(matches!(mean_tokens(x(), 3), Err(OpError::Value { .. })));
    let make = |shape, len| Tokens::from_rows(&Device::default(), shape, noise(1, len), Recording::Off);
    assert!(is_shape(make([2, 3, 4], 23)));
    assert!(is_value(make([2, 0, 4], 0)));
    assert!(is_value(make([1 << 32, 1 << 32, 1], 0)));
}
