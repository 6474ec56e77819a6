use super::{linear_add_tokens, linear_gelu_tokens, linear_tokens};
use crate::{
    Device, Recording, Tokens,
    testing::{
        assert_close, backward_weighted_tokens, differences, in_each_family, noise, tokens, vector,
        weight_matrix, weighted, wide,
    },
};

/// `Φ`, by the series of erf, in double precision.
fn normal(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while f64::abs(term) > 1e-18 * f64::abs(sum) {
        n += 1.0;
        term *= x * x / (2.0 * n + 1.0);
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

fn linear_oracle(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let (n_out, n_in) = (bias.len(), weight.len() / bias.len());
    let at = |row: &[f64], column: usize| {
        bias[column] + row.iter().enumerate().map(|(i, x)| x * weight[i * n_out + column]).sum::<f64>()
    };
    x.chunks(n_in).flat_map(|row| (0..n_out).map(move |column| at(row, column))).collect()
}

#[test]
fn linear_layers_and_what_follows_them_agree_with_differences() {
    in_each_family(|| {
        #[derive(Clone, Copy, Debug, PartialEq)]
        enum Tail {
            Plain,
            Gelu,
            Add,
        }
        for (shape, n_out) in [([1, 1, 1], 1), ([2, 3, 5], 17), ([3, 1, 33], 3)] {
            for tail in [Tail::Plain, Tail::Gelu, Tail::Add] {
                let [n, t, n_in] = shape;
                let (x, weight, bias) = (noise(1, n * t * n_in), noise(2, n_in * n_out), noise(3, n_out));
                let (residual, weights) = (noise(4, n * t * n_out), noise(5, n * t * n_out));
                let oracle = |x: &[f64], weight: &[f64], bias: &[f64], residual: &[f64]| -> Vec<f64> {
                    let y = linear_oracle(x, weight, bias);
                    match tail {
                        Tail::Plain => y,
                        Tail::Gelu => y.into_iter().map(|y| y * normal(y)).collect(),
                        Tail::Add => y.into_iter().zip(residual).map(|(y, residual)| y + residual).collect(),
                    }
                };
                let (input, other) = (tokens(shape, &x), tokens([n, t, n_out], &residual));
                let (kept, kept_other) = (input.share(), other.share());
                let (w, b) = (weight_matrix(n_in, n_out, &weight), vector(&bias));
                let y = match tail {
                    Tail::Plain => linear_tokens(input, &w, Some(&b)),
                    Tail::Gelu => linear_gelu_tokens(input, &w, Some(&b)),
                    Tail::Add => linear_add_tokens(input, &w, Some(&b), other),
                }
                .unwrap();
                let (x, weight, bias, residual) = (wide(&x), wide(&weight), wide(&bias), wide(&residual));
                assert_close("output", &y.to_rows(), &oracle(&x, &weight, &bias, &residual), 1e-6);
                let mut gradients = backward_weighted_tokens(y, &weights);
                let by_x = differences(|x| weighted(&oracle(x, &weight, &bias, &residual), &weights), &x);
                assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-5);
                let by_weight =
                    differences(|w| weighted(&oracle(&x, w, &bias, &residual), &weights), &weight);
                assert_close("weight", &w.gradient(&mut gradients).unwrap().unwrap(), &by_weight, 1e-5);
                let by_bias = differences(|b| weighted(&oracle(&x, &weight, b, &residual), &weights), &bias);
                assert_close("bias", &b.gradient(&mut gradients).unwrap().unwrap(), &by_bias, 1e-5);
                let by_residual = kept_other.gradient(&mut gradients).unwrap();
                assert_eq!(by_residual, (tail == Tail::Add).then_some(weights));
            }
        }
    });
}

#[test]
fn frozen_parameters_get_no_gradient() {
    let (mut w, b) = (weight_matrix(3, 2, &noise(1, 6)), vector(&noise(2, 2)));
    w.set_trainable(false);
    let x = Tokens::from_rows(&Device::default(), [2, 2, 3], noise(3, 12), Recording::start()).unwrap();
    let kept = x.share();
    let y = linear_tokens(x, &w, Some(&b)).unwrap();
    let mut gradients = backward_weighted_tokens(y, &noise(4, 8));
    assert_eq!(kept.gradient(&mut gradients).unwrap(), None);
    assert_eq!(w.gradient(&mut gradients).unwrap(), None);
    assert!(b.gradient(&mut gradients).unwrap().is_some());
}

#[test]
fn a_residual_branch_adds_up_forward_and_backward() {
    let (x, weights) = (noise(1, 2 * 3 * 4), noise(2, 2 * 3 * 4));
    let (w, identity) = (
        weight_matrix(4, 4, &noise(3, 16)),
        weight_matrix(4, 4, &{
            let mut one = vec![0.0; 16];
            (0..4).for_each(|i| one[i * 5] = 1.0);
            one
        }),
    );
    let input = tokens([2, 3, 4], &x);
    let (kept, residual) = (input.share(), input.share());
    let fork = linear_tokens(input.fork(), &identity, None).unwrap();
    let y = linear_add_tokens(input, &w, None, residual).unwrap();
    let y = linear_add_tokens(y, &identity, None, fork).unwrap();
    let oracle = |x: &[f64]| -> Vec<f64> {
        let y = linear_oracle(x, &wide(&w.to_vec()), &[0.0; 4]);
        y.into_iter().zip(x).map(|(y, x)| y + 2.0 * x).collect()
    };
    assert_close("output", &y.to_rows(), &oracle(&wide(&x)), 1e-6);
    let mut gradients = backward_weighted_tokens(y, &weights);
    let by_x = differences(|x| weighted(&oracle(x), &weights), &wide(&x));
    assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-5);
}
