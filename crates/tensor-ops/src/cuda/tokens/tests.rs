//! Operations of the device beside those of the host, which have oracles of their own.

use std::sync::Arc;

use crate::{
    LayerNorm, Parameter, Precision, Tokens, add_bias, add_position, attention, keep_token, layer_norm,
    linear_add_tokens, linear_gelu_tokens, linear_tokens, mean_tokens, prepend_token,
    testing::{
        assert_close, backward_weighted_rows, backward_weighted_tokens, noise, tokens, vector, weight_matrix,
        wide,
    },
    to_rows,
    values::Values,
};

/// A recorded input that wants its gradient, and stays where it is asked to be.
fn input(shape: [usize; 3], precision: Precision, is_on_host: bool) -> Tokens {
    let values = noise(1, shape.iter().product());
    let mut x = tokens(shape, &values).with_precision(precision);
    if is_on_host {
        x.values = Arc::new(Values::new(values, precision));
    }
    assert_eq!(x.values.on_device().is_none(), is_on_host);
    x
}

/// The output, then the gradients of the input, twice as the second handle adds its own, and of parameters.
fn run(x: Tokens, parameters: &[&Parameter], op: impl Fn(Tokens) -> Tokens) -> Vec<Vec<f32>> {
    let kept = x.share();
    // A gradient that is there before the operation's arrives, where the shapes allow it.
    let residual = x.fork();
    let mut y = op(x);
    if y.shape() == residual.shape() {
        let one: Vec<f32> = (0..y.d() * y.d()).map(|i| f32::from(u8::from(i % (y.d() + 1) == 0))).collect();
        y = linear_add_tokens(y, &weight_matrix(residual.d(), residual.d(), &one), None, residual).unwrap();
    }
    let values = y.to_rows();
    let mut gradients = backward_weighted_tokens(y, &noise(2, values.len()));
    let mut all = vec![values, kept.gradient(&mut gradients).unwrap().unwrap()];
    all.extend(parameters.iter().map(|parameter| parameter.gradient(&mut gradients).unwrap().unwrap()));
    all
}

fn compare(what: &str, shape: [usize; 3], parameters: &[&Parameter], op: impl Fn(Tokens) -> Tokens) {
    for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::Bf16, 1.5e-2)] {
        let [host, device] =
            [true, false].map(|is_on_host| run(input(shape, precision, is_on_host), parameters, &op));
        for (part, (host, device)) in host.iter().zip(&device).enumerate() {
            assert_close(
                &format!("{what} of {shape:?}, {precision:?}, {part}"),
                device,
                &wide(host),
                tolerance,
            );
        }
    }
}

/// A layer's weights.
fn layer(seed: u32, n_in: usize, n_out: usize) -> Parameter {
    let std = 1.0 / (n_in as f32).sqrt();
    let values: Vec<f32> = noise(seed, n_in * n_out).into_iter().map(|value| value * std).collect();
    weight_matrix(n_in, n_out, &values)
}

#[test]
fn layer_normalization_is_the_hosts() {
    // One row, more than a group, more than a chunk of rows; less than a warp of columns, more than a slab.
    for shape in [[1, 1, 3], [3, 3, 32], [43, 62, 12], [2, 5, 1030]] {
        let mut norm = LayerNorm::new(&crate::Device::default(), shape[2], 1e-6).unwrap();
        (norm.scale, norm.shift) = (vector(&noise(3, shape[2])), vector(&noise(4, shape[2])));
        compare("layer_norm", shape, &[&norm.scale, &norm.shift], |x| layer_norm(x, &norm).unwrap());
    }
}

#[test]
fn linear_layers_are_the_hosts() {
    for (shape, n_out) in [([1, 1, 3], 5), ([4, 10, 12], 16), ([5, 41, 7], 36), ([7, 300, 16], 16)] {
        let (weight, bias) = (layer(3, shape[2], n_out), vector(&noise(4, n_out)));
        let [n, t, _] = shape;
        for bias in [Some(&bias), None] {
            let parameters: Vec<&Parameter> = [Some(&weight), bias].into_iter().flatten().collect();
            compare("linear", shape, &parameters, |x| linear_tokens(x, &weight, bias).unwrap());
            compare("gelu", shape, &parameters, |x| linear_gelu_tokens(x, &weight, bias).unwrap());
            compare("add", shape, &parameters, |x| {
                let residual = input([n, t, n_out], x.precision(), x.values.on_device().is_none());
                linear_add_tokens(x, &weight, bias, residual).unwrap()
            });
        }
    }
}

#[test]
fn attention_is_the_hosts() {
    // Heads of a multiple of four features and of another, keys beyond those that stay in registers, chunks of images.
    for ([n, t, d], heads) in
        [([1, 1, 1], 1), ([3, 5, 12], 2), ([5, 17, 24], 3), ([11, 65, 16], 2), ([2, 270, 8], 1)]
    {
        compare("attention", [n, t, 3 * d], &[], |x| attention(x, heads).unwrap());
    }
}

#[test]
fn rows_are_made_and_cut_as_on_the_host() {
    for shape in [[1, 1, 1], [3, 5, 7], [4, 9, 300]] {
        let [_, t, d] = shape;
        let (table, row) = (vector(&noise(3, t * d)), vector(&noise(4, d)));
        compare("add_position", shape, &[&table], |x| add_position(x, &table).unwrap());
        compare("add_bias", shape, &[&row], |x| add_bias(x, &row).unwrap());
        compare("prepend_token", shape, &[&row], |x| prepend_token(x, &row).unwrap());
        for token in [0, t - 1] {
            compare("keep_token", shape, &[], |x| keep_token(x, token).unwrap());
        }
        for (precision, first) in [(Precision::F32, 0), (Precision::Bf16, t / 2)] {
            let [host, device] = [true, false].map(|is_on_host| {
                let x = input(shape, precision, is_on_host);
                let kept = x.share();
                let y = mean_tokens(x, first).unwrap();
                let values = to_rows(&y);
                let mut gradients = backward_weighted_rows(y, &noise(2, values.len()));
                [values, kept.gradient(&mut gradients).unwrap().unwrap()]
            });
            for (host, device) in host.iter().zip(&device) {
                assert_close("mean_tokens", device, &wide(host), 1e-6);
            }
        }
    }
}

#[test]
fn frozen_parameters_and_inputs_get_no_gradient() {
    let (mut weight, bias) = (layer(3, 12, 12), vector(&noise(4, 12)));
    let mut norm = LayerNorm::new(&crate::Device::default(), 12, 1e-6).unwrap();
    weight.set_trainable(false);
    norm.scale.set_trainable(false);
    for precision in [Precision::F32, Precision::Bf16] {
        let mut x = input([2, 5, 12], precision, false);
        x.needs_gradient = false;
        let kept = x.share();
        let x = linear_gelu_tokens(x, &weight, Some(&bias)).unwrap();
        let y = layer_norm(x, &norm).unwrap();
        let mut gradients = backward_weighted_tokens(y, &noise(2, 120));
        assert_eq!(kept.gradient(&mut gradients).unwrap(), None);
        for (parameter, wants) in [(&weight, false), (&norm.scale, false), (&norm.shift, true), (&bias, true)]
        {
            assert_eq!(parameter.gradient(&mut gradients).unwrap().is_some(), wants);
        }
    }
}
