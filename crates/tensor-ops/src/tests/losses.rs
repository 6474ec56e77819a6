//! Losses, their sums, and what they ask for.

use dfdx::tensor::TensorFromVec as _;

use super::*;
use crate::constant;

/// The mean of the cross-entropies, and the logits, positive first.
fn contrast_oracle(q: &[f64], keys: &[f64], queue: &[f64], c: usize, temperature: f64) -> (f64, Vec<f64>) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / temperature;
    let mut logits = Vec::new();
    let mut loss = 0.0;
    for (q, k) in q.chunks(c).zip(keys.chunks(c)) {
        let mut row = vec![dot(q, k)];
        row.extend(queue.chunks(c).map(|key| dot(q, key)));
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        loss += row.iter().map(|logit| (logit - max).exp()).sum::<f64>().ln() + max - row[0];
        logits.extend(row);
    }
    (loss / (q.len() / c) as f64, logits)
}

fn unit_rows(seed: u32, n: usize, c: usize) -> Vec<f32> {
    to_rows(&l2_normalize(rows((n, c), &noise(seed, n * c))).unwrap())
}

#[test]
fn info_nce_agrees_with_differences_at_any_temperature() {
    in_each_family(|| {
        for (n, c, n_keys, temperature) in
            [(1, 3, 1, 0.2), (5, 7, 9, 0.07), (3, 16, 1100, 0.2), (17, 5, 513, 1e-3)]
        {
            let (q, keys, queue) = (unit_rows(1, n, c), unit_rows(2, n, c), unit_rows(3, n_keys, c));
            let (name, input) = named_rows((n, c), &q);
            let result = info_nce_queue(
                input,
                &matrix((n, c), &keys),
                &buffer(&queue, c),
                temperature,
                KeepLogits::Yes,
            )
            .unwrap();
            let (q, keys, queue) = (wide(&q), wide(&keys), wide(&queue));
            let oracle = |q: &[f64]| contrast_oracle(q, &keys, &queue, c, f64::from(temperature));
            let (loss, logits) = oracle(&q);
            assert_close("loss", &[dfdx::tensor::AsArray::array(&result.loss)], &[loss], 3e-6);
            assert_close("logits", &result.logits.unwrap(), &logits, 2e-6);
            let is_right = |row: &[f64]| row[1..].iter().all(|&negative| row[0] > negative);
            let n_right = logits.chunks(1 + n_keys).filter(|row| is_right(row)).count();
            assert_eq!(result.top1, n_right as f32 / n as f32);
            let mut gradients = backward(result.loss).unwrap();
            let by_q = if temperature < 0.01 {
                // So sharp a softmax is one key a query, where a difference has no digits left.
                let mut expected = Vec::new();
                for (i, row) in logits.chunks(1 + n_keys).enumerate() {
                    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum = row.iter().map(|logit| (logit - max).exp()).sum::<f64>();
                    for d in 0..c {
                        let key = |k: usize| if k == 0 { keys[i * c + d] } else { queue[(k - 1) * c + d] };
                        let mean =
                            row.iter().enumerate().map(|(k, logit)| (logit - max).exp() / sum * key(k));
                        let pull = mean.sum::<f64>() - key(0);
                        expected.push(pull / f64::from(temperature) / n as f64);
                    }
                }
                expected
            } else {
                differences(|q| oracle(q).0, &q)
            };
            assert_close("queries", &crate::testing::gradient_of(&name, &mut gradients), &by_q, 2e-4);
        }
    });
}

#[test]
fn a_negative_as_near_as_the_positive_counts_against() {
    let q = rows((1, 2), &[1.0, 0.0]);
    let result =
        info_nce_queue(q, &matrix((1, 2), &[1.0, 0.0]), &buffer(&[1.0, 0.0], 2), 0.2, KeepLogits::No)
            .unwrap();
    assert_eq!(result.top1, 0.0);
    assert!(result.logits.is_none());
}

#[test]
fn info_nce_refuses_what_does_not_fit() {
    let q = || rows((2, 3), &unit_rows(1, 2, 3));
    let keys = matrix((2, 3), &unit_rows(2, 2, 3));
    let run = |keys: &Matrix, queue: &[f32], temperature| {
        info_nce_queue(q(), keys, &buffer(queue, 1), temperature, KeepLogits::No).map(|result| result.top1)
    };
    assert!(matches!(run(&matrix((1, 3), &[1.0, 0.0, 0.0]), &[0.0; 3], 0.2), Err(OpError::Shape { .. })));
    assert!(matches!(run(&keys, &[0.0; 4], 0.2), Err(OpError::Value { .. })));
    assert!(matches!(run(&keys, &[], 0.2), Err(OpError::Value { .. })));
    assert!(matches!(run(&keys, &[0.0; 3], 0.0), Err(OpError::Value { .. })));
    // No query, whose mean loss would be 0 over 0.
    let none: Matrix = Device::default().try_tensor_from_vec(Vec::new(), (0, 3)).unwrap();
    let result = info_nce_queue(constant(&none), &none, &buffer(&[0.0; 3], 3), 0.2, KeepLogits::No);
    let error = result.map(|result| result.top1).unwrap_err().to_string();
    assert_eq!(error, "info_nce_queue: shape of the queries is (0, 3), but every size must be at least 1");
}

#[test]
fn losses_and_linear_layers_do_not_depend_on_the_number_of_threads() {
    let run = |n_threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let weight =
                Parameter::new(&Device::default(), ParameterKind::Matrix, &[40, 150], noise(1, 6000))
                    .unwrap();
            let y = l2_normalize(linear(rows((33, 40), &noise(2, 1320)), &weight, None).unwrap()).unwrap();
            let keys = matrix((33, 150), &unit_rows(3, 33, 150));
            let result =
                info_nce_queue(y, &keys, &buffer(&unit_rows(4, 1500, 150), 150), 0.1, KeepLogits::No)
                    .unwrap();
            let loss = dfdx::tensor::AsArray::array(&result.loss);
            let mut gradients = backward(result.loss).unwrap();
            let mut values = weight.gradient(&mut gradients).unwrap().unwrap();
            values.push(loss);
            values
        })
    };
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(run(1)), bits(run(3)));
}

#[test]
fn the_sum_of_losses_sends_its_gradient_to_each() {
    in_each_family(|| {
        let run = |n_terms: usize| {
            let (name, q) = named_rows((2, 3), &unit_rows(1, 2, 3));
            let keys = matrix((2, 3), &unit_rows(2, 2, 3));
            let queue = buffer(&unit_rows(3, 5, 3), 3);
            let (q, recording) = q.split_tape();
            let mut recording = Some(recording);
            let mut term = || {
                let recording = recording.take().unwrap_or_else(Recording::start);
                info_nce_queue(q.clone().put_tape(recording), &keys, &queue, 0.2, KeepLogits::No)
                    .unwrap()
                    .loss
            };
            let loss = sum_losses((0..n_terms).map(|_| term()).collect()).unwrap();
            let value = dfdx::tensor::AsArray::array(&loss);
            (value, crate::testing::gradient_of(&name, &mut backward(loss).unwrap()))
        };
        let ((one, gradient), (two, doubled)) = (run(1), run(2));
        assert_eq!(two, 2.0 * one);
        assert_eq!(doubled, gradient.iter().map(|value| 2.0 * value).collect::<Vec<_>>());
        assert!(matches!(sum_losses(Vec::new()), Err(OpError::Value { .. })));
    });
}

#[test]
fn a_scaled_loss_sends_a_scaled_gradient() {
    let weights = noise(2, 6);
    let run = |factor: Option<f32>| {
        let (name, x) = named_rows((2, 3), &noise(1, 6));
        let mut loss = weighted_sum(x, &weights).unwrap();
        if let Some(factor) = factor {
            loss = scale_loss(loss, factor).unwrap();
        }
        let value = dfdx::tensor::AsArray::array(&loss);
        (value, crate::testing::gradient_of(&name, &mut backward(loss).unwrap()))
    };
    let ((value, gradient), (scaled, scaled_gradient)) = (run(None), run(Some(0.25)));
    assert_close("value", &[value], &[weighted(&wide(&noise(1, 6)), &weights)], 1e-6);
    assert_eq!((scaled, &gradient), (0.25 * value, &weights));
    assert_eq!(scaled_gradient, weights.iter().map(|weight| 0.25 * weight).collect::<Vec<_>>());
}

#[test]
fn weights_that_are_a_matrix_give_the_same_sum() {
    in_each_family(|| {
        let weights = noise(2, 6);
        let run = |is_matrix: bool| {
            let (name, x) = named_rows((2, 3), &noise(1, 6));
            let sum = if is_matrix {
                sum_weighted_by(x, &matrix((2, 3), &weights))
            } else {
                weighted_sum(x, &weights)
            };
            let sum = sum.unwrap();
            let value = dfdx::tensor::AsArray::array(&sum);
            (value, crate::testing::gradient_of(&name, &mut backward(sum).unwrap()))
        };
        assert_eq!(run(true), run(false));
        let (_, x) = named_rows((2, 3), &noise(1, 6));
        assert!(matches!(sum_weighted_by(x, &matrix((3, 2), &weights)), Err(OpError::Shape { .. })));
    });
}

#[test]
fn the_value_of_a_loss_is_that_of_its_tensor() {
    let (_, q) = named_rows((2, 3), &unit_rows(1, 2, 3));
    let keys = matrix((2, 3), &unit_rows(2, 2, 3));
    let result = info_nce_queue(q, &keys, &buffer(&unit_rows(3, 5, 3), 3), 0.2, KeepLogits::No).unwrap();
    assert_eq!(result.value, dfdx::tensor::AsArray::array(&result.loss));
}
