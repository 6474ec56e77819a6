//! Attention, layer norm and linear layers.

use kernels_cpu::{Precision, testing::noise};

use super::*;
use crate::{
    linear::{Layer, Tail, Wanted},
    tokens::{attention, layer_norm, rows},
};

/// What each head attends to, `(N, T, D)`, and the gradient of `(N, T, 3 D)`.
fn attention_oracle(
    attention::Sizes { n, t, heads, dh }: attention::Sizes,
    qkv: &[f64],
    gradient: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let d = heads * dh;
    let scale = 1.0 / (dh as f64).sqrt();
    let (mut y, mut by_qkv) = (vec![0.0; n * t * d], vec![0.0; n * t * 3 * d]);
    for (image, head) in (0..n).flat_map(|image| (0..heads).map(move |head| (image, head))) {
        let of_part = |token: usize, part: usize| ((image * t + token) * 3 + part) * d + head * dh;
        let of_y = |token: usize| (image * t + token) * d + head * dh;
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for i in 0..t {
            let q = &qkv[of_part(i, 0)..][..dh];
            let logits: Vec<f64> = (0..t).map(|j| scale * dot(q, &qkv[of_part(j, 1)..][..dh])).collect();
            let greatest = logits.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = logits.iter().map(|logit| (logit - greatest).exp()).sum();
            let p: Vec<f64> = logits.iter().map(|logit| (logit - greatest).exp() / total).collect();
            let g = gradient[of_y(i)..][..dh].to_vec();
            let by_p: Vec<f64> = (0..t).map(|j| dot(&g, &qkv[of_part(j, 2)..][..dh])).collect();
            let mean = dot(&p, &by_p);
            for j in 0..t {
                let by_logit = scale * p[j] * (by_p[j] - mean);
                for c in 0..dh {
                    y[of_y(i) + c] += p[j] * qkv[of_part(j, 2) + c];
                    by_qkv[of_part(i, 0) + c] += by_logit * qkv[of_part(j, 1) + c];
                    by_qkv[of_part(j, 1) + c] += by_logit * qkv[of_part(i, 0) + c];
                    by_qkv[of_part(j, 2) + c] += p[j] * g[c];
                }
            }
        }
    }
    (y, by_qkv)
}

#[test]
fn attention_is_its_definition() {
    // Heads of a multiple of four features and of another, keys beyond those that stay in registers, chunks of images.
    for [n, t, heads, dh] in [[1, 1, 1, 1], [3, 5, 2, 6], [5, 17, 3, 8], [11, 65, 2, 8], [2, 270, 1, 8]] {
        let sizes = attention::Sizes { n, t, heads, dh };
        for (precision, tolerance) in PRECISIONS {
            let what = format!("{sizes:?}, {precision:?}");
            let (qkv, values) = array(1, n * t * 3 * heads * dh, precision);
            let (gradient, of_y) = array(2, n * t * heads * dh, precision);
            let (y, by_qkv) = attention_oracle(sizes, &values, &of_y);
            let (got, kept) = attention::forward(sizes, &qkv, true).unwrap();
            check(&what, &got, &y, tolerance);
            check(&what, &attention::forward(sizes, &qkv, false).unwrap().0, &y, tolerance);
            check(&what, &attention::backward(kept.unwrap(), gradient).unwrap(), &by_qkv, tolerance);
        }
    }
}

#[test]
fn layer_normalization_is_its_definition() {
    // One row, more than a group, more than a chunk of rows; less than a warp of columns, more than a slab.
    for (n, d) in [(1, 3), (9, 32), (43 * 130, 12), (10, 1030)] {
        for (precision, tolerance) in PRECISIONS {
            let what = format!("{n} rows of {d}, {precision:?}");
            let (x, values) = array(1, n * d, precision);
            let (gradient, by_y) = array(2, n * d, precision);
            let (before, was) = array(3, n * d, precision);
            let (scale, shift) = (noise(4, d), noise(5, d));
            let (mut y, mut by_x) = (Vec::new(), Vec::new());
            let (mut by_scale, mut by_shift) = (vec![0.0; d], vec![0.0; d]);
            for (row, g) in values.chunks(d).zip(by_y.chunks(d)) {
                let mean = row.iter().sum::<f64>() / d as f64;
                let var = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / d as f64;
                let inv_std = 1.0 / (var + 1e-6).sqrt();
                let normalized: Vec<f64> = row.iter().map(|value| (value - mean) * inv_std).collect();
                let scaled: Vec<f64> = g.iter().zip(&scale).map(|(g, &s)| g * f64::from(s)).collect();
                let plain = scaled.iter().sum::<f64>() / d as f64;
                let along = scaled.iter().zip(&normalized).map(|(g, n)| g * n).sum::<f64>() / d as f64;
                for c in 0..d {
                    y.push(normalized[c] * f64::from(scale[c]) + f64::from(shift[c]));
                    by_x.push((scaled[c] - plain - normalized[c] * along) * inv_std);
                    by_scale[c] += g[c] * normalized[c];
                    by_shift[c] += g[c];
                }
            }
            let (scale, shift) = (upload(&scale).unwrap(), upload(&shift).unwrap());
            let (got, kept) = layer_norm::forward(&x, &scale, &shift, 1e-6, true).unwrap();
            check(&what, &got, &y, tolerance);
            let wanted = layer_norm::Wanted { x: true, before: Some(before), scale: true, shift: true };
            let got = layer_norm::backward(&kept.unwrap(), &x, &scale, gradient, wanted).unwrap();
            check(&what, &got.x.unwrap(), &plus(&by_x, &was), tolerance);
            check(&what, &got.scale.unwrap(), &by_scale, 1e-5);
            check(&what, &got.shift.unwrap(), &by_shift, 1e-5);
        }
    }
}

fn gelu(x: f64) -> f64 {
    x * below(x)
}

/// The share of a normal distribution below `x`, by its density's Simpson sum.
fn below(x: f64) -> f64 {
    const N: usize = 400;
    let density = |at: f64| (-0.5 * at * at).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let h = x / N as f64;
    let sum: f64 = (0..=N)
        .map(|i| density(h * i as f64) * if i == 0 || i == N { 1.0 } else { (2 + 2 * (i % 2)) as f64 })
        .sum();
    0.5 + sum * h / 3.0
}

#[test]
fn linear_layers_are_their_definition() {
    for (n_rows, n_in, n_out) in [(1, 3, 5), (40, 12, 16), (205, 7, 36), (2100, 16, 16)] {
        for (precision, tolerance) in PRECISIONS {
            let layer = Layer { n_rows, n_in, n_out, precision };
            let (x, values) = array(1, n_rows * n_in, precision);
            let (weights, of_weight) = weight(2, n_in * n_out, precision);
            let forms = Forms::default();
            let weight = Weight { values: &weights, forms: &forms };
            let bias = noise(3, n_out);
            let (residual, others) = array(4, n_rows * n_out, precision);
            let (_, by_y) = array(5, n_rows * n_out, precision);
            let (_, was) = array(6, n_rows * n_in, precision);
            let plain = product(&values, &of_weight, [n_rows, n_in, n_out]);
            for with_bias in [true, false] {
                let bias_at = |i: usize| if with_bias { f64::from(bias[i % n_out]) } else { 0.0 };
                let sum: Vec<f64> = plain.iter().enumerate().map(|(i, value)| value + bias_at(i)).collect();
                let on_device = upload(&bias).unwrap();
                let on_device = with_bias.then_some(&on_device);
                let slope =
                    |x: &f64| below(*x) + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
                let tails = [
                    ("plain", Tail::Nothing, sum.clone(), by_y.clone()),
                    ("add", Tail::Add(&residual), plus(&sum, &others), by_y.clone()),
                    (
                        "gelu",
                        Tail::Gelu { is_kept: true },
                        sum.iter().copied().map(gelu).collect(),
                        sum.iter().map(slope).zip(&by_y).map(|(slope, g)| slope * g).collect::<Vec<f64>>(),
                    ),
                ];
                for (name, tail, y, by_sum) in tails {
                    let what = format!("{name} of {layer:?}, bias {with_bias}");
                    let (got, kept) = layer.forward(&x, weight, on_device, tail).unwrap();
                    check(&what, &got, &y, tolerance);
                    if let Tail::Gelu { .. } = tail {
                        let tail = Tail::Gelu { is_kept: false };
                        let (got, _) = layer.forward(&x, weight, on_device, tail).unwrap();
                        check(&what, &got, &y, tolerance);
                    }
                    let wanted = Wanted {
                        x: true,
                        x_before: Some(array(6, n_rows * n_in, precision).0),
                        weight: true,
                        weight_before: None,
                        bias: true,
                        residual: kept.is_none(),
                    };
                    let gradient = array(5, n_rows * n_out, precision).0;
                    let got = layer.backward(weight, Some(&x), kept, gradient, wanted).unwrap();
                    let by_x = product(&by_sum, &transposed(&of_weight, n_in), [n_rows, n_out, n_in]);
                    check(&what, &got.x.unwrap(), &plus(&by_x, &was), tolerance);
                    let by_weight = product(&transposed(&values, n_rows), &by_sum, [n_in, n_rows, n_out]);
                    check(&what, &got.weight.unwrap(), &by_weight, tolerance);
                    let by_bias: Vec<f64> =
                        (0..n_out).map(|c| by_sum.iter().skip(c).step_by(n_out).sum()).collect();
                    check(&what, &got.bias.unwrap(), &by_bias, tolerance);
                    if let Some(residual) = got.residual {
                        check(&what, &residual, &by_y, 0.0);
                    }
                }
            }
        }
    }
}

#[test]
fn tokens_are_made_and_cut() {
    for [n, t, d] in [[1, 1, 1], [3, 5, 7], [4, 9, 300]] {
        let shape = [n, t, d];
        for (precision, tolerance) in PRECISIONS {
            let (x, values) = array(1, n * t * d, precision);
            let token = noise(2, d);
            let image = |i: usize| &values[i * t * d..][..t * d];
            let (_, rounded) = array(2, d, precision);
            let prepended: Vec<f64> =
                (0..n).flat_map(|i| rounded.iter().chain(image(i)).copied().collect::<Vec<_>>()).collect();
            check(
                "prepend",
                &rows::prepend(&x, &upload(&token).unwrap(), 1, shape).unwrap(),
                &prepended,
                0.0,
            );
            let (tokens, (_, rounded)) = (noise(2, 3 * d), array(2, 3 * d, precision));
            let prepended: Vec<f64> =
                (0..n).flat_map(|i| rounded.iter().chain(image(i)).copied().collect::<Vec<_>>()).collect();
            let got = rows::prepend(&x, &upload(&tokens).unwrap(), 3, shape).unwrap();
            check("prepend three", &got, &prepended, 0.0);
            let factors = noise(4, d);
            let scaled: Vec<f64> =
                values.iter().enumerate().map(|(i, v)| v * f64::from(factors[i % d])).collect();
            let got = rows::scale_features(&x, &upload(&factors).unwrap(), d).unwrap();
            check("scale features", &got, &scaled, tolerance);
            let (other, of_other) = array(5, n * t * d, precision);
            let product: Vec<f64> = values.iter().zip(&of_other).map(|(a, b)| a * b).collect();
            check("products", &rows::products(&x, &other).unwrap(), &product, 1e-6);
            let (first, count) = (t / 2, t - t / 2);
            let taken: Vec<f64> = (0..n).flat_map(|i| image(i)[first * d..].to_vec()).collect();
            check("take", &rows::take(&x, shape, first, count).unwrap(), &taken, 0.0);
            let mean: Vec<f64> = (0..n * d)
                .map(|i| image(i / d)[first * d..].iter().skip(i % d).step_by(d).sum::<f64>() / count as f64)
                .collect();
            check("mean", &rows::mean(&x, shape, first, count).unwrap(), &mean, 1e-6);
            let (gradient, of_mean) = array(3, n * d, Precision::F32);
            let spread: Vec<f64> = (0..n * t * d)
                .map(
                    |i| if i / d % t < first { 0.0 } else { of_mean[i / (t * d) * d + i % d] / count as f64 },
                )
                .collect();
            let got = rows::spread(&gradient, shape, first, count, precision).unwrap();
            check("spread", &got, &spread, tolerance);
            let factors: Vec<f32> = (0..n).map(|i| [0.0, 1.25, -2.0][i % 3]).collect();
            let scaled: Vec<f64> =
                (0..n).flat_map(|i| image(i).iter().map(move |v| v * [0.0, 1.25, -2.0][i % 3])).collect();
            let got = rows::scale_images(&x, &Array::F32(upload(&factors).unwrap())).unwrap();
            check("scale", &got, &scaled, tolerance);
        }
    }
}
