//! Single precision and bfloat16 beside each other.

use crate::{
    BatchNorm, ConvAlgorithm, ConvGeometry, Device, FeatureMap, LayerNorm, Mode, Parameter, ParameterKind,
    Precision, Tokens, add_relu, attention, average_pool, batch_norm, batch_norm_add_relu, batch_norm_relu,
    conv2d, layer_norm, linear_add_tokens, linear_gelu_tokens, linear_tokens, max_pool, prepend_token, relu,
    testing::{
        backward_weighted, backward_weighted_tokens, image, in_each_family, noise, tokens, vector,
        weight_matrix,
    },
    tokens_from_map,
};

/// How far `got` is from `expected`, over all values.
fn distance(got: &[f32], expected: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value) * f64::from(value);
    let error: f64 = got.iter().zip(expected).map(|(got, expected)| square(got - expected)).sum();
    (error / expected.iter().map(|&value| square(value)).sum::<f64>()).sqrt()
}

fn kernel(seed: u32, side: usize, n_in: usize, n_out: usize) -> Parameter {
    let std = 1.0 / ((side * side * n_in) as f32).sqrt();
    let values = noise(seed, side * side * n_in * n_out).into_iter().map(|value| value * std).collect();
    Parameter::new(&Device::default(), ParameterKind::Kernel, &[side, side, n_in, n_out], values).unwrap()
}

/// Every operation on maps once: output, gradients of the input and of two kernels.
fn maps(precision: Precision, algorithm: ConvAlgorithm) -> [Vec<f32>; 4] {
    let kernels = [kernel(2, 3, 5, 16), kernel(3, 3, 16, 16), kernel(4, 1, 16, 24)];
    let mut norms = [16, 16, 24].map(|channels| BatchNorm::new(&Device::default(), channels).unwrap());
    let x = image([19, 9, 8, 5], &noise(1, 19 * 9 * 8 * 5)).with_precision(precision).unwrap();
    let input = x.share();
    let same = ConvGeometry::square(3, 1, 1);
    let x = conv2d(x, &kernels[0], None, same, algorithm).unwrap();
    let x = batch_norm_relu(x, &mut norms[0], Mode::Train).unwrap();
    let x = max_pool(x, same).unwrap();
    let shortcut = x.fork();
    let x = conv2d(x, &kernels[1], Some(&vector(&noise(5, 16))), same, algorithm).unwrap();
    let x = batch_norm_add_relu(x, &mut norms[1], shortcut, Mode::Train).unwrap();
    let x = conv2d(x, &kernels[2], None, ConvGeometry::square(1, 2, 0), algorithm).unwrap();
    let x = batch_norm(x, &mut norms[2], Mode::Train).unwrap();
    let x = relu(x).unwrap();
    let other = x.fork();
    let y = average_pool(add_relu(x, other).unwrap(), ConvGeometry::square(2, 1, 0)).unwrap();
    assert_eq!(y.precision(), precision);
    let values = y.to_nhwc();
    let mut gradients = backward_weighted(y, &noise(6, values.len()));
    [
        values,
        input.gradient(&mut gradients).unwrap().unwrap(),
        kernels[0].gradient(&mut gradients).unwrap().unwrap(),
        kernels[1].gradient(&mut gradients).unwrap().unwrap(),
    ]
}

/// Every operation of a transformer's block once: output, gradients of the input and of the first layer.
fn rows(precision: Precision) -> [Vec<f32>; 3] {
    let layer = |seed, n_in: usize, n_out: usize| {
        let std = 1.0 / (n_in as f32).sqrt();
        let values: Vec<f32> = noise(seed, n_in * n_out).into_iter().map(|value| value * std).collect();
        weight_matrix(n_in, n_out, &values)
    };
    let layers = [layer(2, 12, 36), layer(3, 12, 12), layer(4, 12, 48), layer(5, 48, 12)];
    let norms = [(); 2].map(|()| LayerNorm::new(&Device::default(), 12, 1e-6).unwrap());
    let x = tokens([3, 10, 12], &noise(1, 360)).with_precision(precision);
    let input = x.share();
    let x = prepend_token(x, &vector(&noise(6, 12))).unwrap();
    let shortcut = x.share();
    let x = linear_tokens(layer_norm(x, &norms[0]).unwrap(), &layers[0], None).unwrap();
    let x = linear_add_tokens(attention(x, 3).unwrap(), &layers[1], None, shortcut).unwrap();
    let shortcut = x.share();
    let x = linear_gelu_tokens(layer_norm(x, &norms[1]).unwrap(), &layers[2], None).unwrap();
    let y: Tokens = linear_add_tokens(x, &layers[3], None, shortcut).unwrap();
    assert_eq!(y.precision(), precision);
    let values = y.to_rows();
    let mut gradients = backward_weighted_tokens(y, &noise(7, values.len()));
    [
        values,
        input.gradient(&mut gradients).unwrap().unwrap(),
        layers[0].gradient(&mut gradients).unwrap().unwrap(),
    ]
}

#[test]
fn bfloat16_is_near_single_precision_but_not_it() {
    in_each_family(|| {
        for algorithm in [ConvAlgorithm::Direct, ConvAlgorithm::Winograd] {
            let (wide, narrow) = (maps(Precision::F32, algorithm), maps(Precision::Bf16, algorithm));
            for (what, (wide, narrow)) in
                ["output", "input", "first", "second"].iter().zip(wide.iter().zip(&narrow))
            {
                let distance = distance(narrow, wide);
                // A rounding is up to 1/256 of a value; some flip a ReLU, or the largest of a window, and with it
                // where a gradient goes.
                let limit = if *what == "output" { 0.06 } else { 0.2 };
                assert!((1e-4..limit).contains(&distance), "{algorithm:?}, {what}: {distance}");
            }
        }
        for (wide, narrow) in rows(Precision::F32).iter().zip(&rows(Precision::Bf16)) {
            let distance = distance(narrow, wide);
            assert!((1e-4..2e-2).contains(&distance), "tokens: {distance}");
        }
    });
}

#[test]
fn a_precision_stays_with_what_is_made_of_it() {
    let x: FeatureMap = image([2, 2, 2, 3], &noise(1, 24)).with_precision(Precision::Bf16).unwrap();
    assert_eq!(x.share().precision(), Precision::Bf16);
    assert_eq!(x.select_images(&[1]).unwrap().precision(), Precision::Bf16);
    assert_eq!(tokens_from_map(x.share()).unwrap().precision(), Precision::Bf16);
    let rounded = x.to_nhwc();
    assert_eq!(x.with_precision(Precision::F32).unwrap().to_nhwc(), rounded);
}
