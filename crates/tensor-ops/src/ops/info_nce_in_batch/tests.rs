//! The loss against plain formulas and finite differences.

use dfdx::tensor::{AsArray, PutTape, SplitTape as _};
use kernels_cpu::Family;
use rayon::ThreadPoolBuilder;

use super::*;
use crate::{
    Device, Recording,
    backend::Host,
    backward, features_from_rows, l2_normalize,
    testing::{assert_close, differences, noise, rows, wide},
    to_rows,
};

fn unit_rows(seed: u32, n: usize, c: usize) -> Vec<f32> {
    to_rows(&l2_normalize(rows((n, c), &noise(seed, n * c))).unwrap())
}

fn matrix(shape: (usize, usize), values: &[f32]) -> Matrix {
    rows(shape, values).split_tape().0
}

/// Every way to compute it; `None` is the operation as it is, which may be the device's.
fn ways() -> impl Iterator<Item = Option<Family>> {
    kernels_cpu::testing::families().into_iter().map(Some).chain([None])
}

/// Loss and gradient for the queries, and all else.
fn run(
    way: Option<Family>,
    (q, n): (&[f32], usize),
    keys: &[f32],
    first: usize,
    temperature: f32,
) -> (f32, Vec<f32>, InfoNce) {
    let c = q.len() / n;
    let (name, recording) = rows((n, c), q).split_tape();
    let keys = matrix((keys.len() / c, c), keys);
    let q = name.clone().put_tape(recording);
    let result = match way {
        Some(family) => info_nce_on(Host::of_family(family), q, &keys, first, temperature, KeepLogits::Yes),
        None => info_nce_in_batch(q, &keys, first, temperature, KeepLogits::Yes),
    };
    let result = result.unwrap();
    let (loss, recording) = result.loss.split_tape();
    let kept = loss.clone().put_tape(Recording::Off);
    let gradient =
        crate::testing::gradient_of(&name, &mut backward(loss.clone().put_tape(recording)).unwrap());
    (loss.array(), gradient, InfoNce { loss: kept, ..result })
}

/// The loss by its definition, and the logits.
fn oracle(q: &[f64], keys: &[f64], c: usize, first: usize, temperature: f64) -> (f64, Vec<f64>) {
    let mut logits = Vec::new();
    let mut loss = 0.0;
    for (i, q) in q.chunks(c).enumerate() {
        let dot = |key: &[f64]| q.iter().zip(key).map(|(a, b)| a * b).sum::<f64>() / temperature;
        let row: Vec<f64> = keys.chunks(c).map(dot).collect();
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = row.iter().map(|logit| (logit - max).exp()).sum::<f64>().ln() + max;
        loss += log_sum - row[first + i];
        logits.extend(row);
    }
    (2.0 * temperature * loss / (q.len() / c) as f64, logits)
}

/// The gradient by its formula, where a difference has no digits left.
fn gradient_oracle((logits, keys): (&[f64], &[f64]), c: usize, first: usize, n: usize) -> Vec<f64> {
    let n_keys = keys.len() / c;
    let mut gradient = Vec::new();
    for (i, row) in logits.chunks(n_keys).enumerate() {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum = row.iter().map(|logit| (logit - max).exp()).sum::<f64>();
        for d in 0..c {
            let key = |k: usize| keys[k * c + d] - keys[(first + i) * c + d];
            let pull = row.iter().enumerate().map(|(k, logit)| (logit - max).exp() / sum * key(k));
            gradient.push(2.0 * pull.sum::<f64>() / n as f64);
        }
    }
    gradient
}

const SIZES: [(usize, usize, usize, usize); 7] = [
    // queries, width, keys, first positive
    (1, 1, 2, 1),
    (2, 3, 2, 0),
    (5, 7, 9, 3),
    (33, 16, 33, 0),
    (17, 5, 300, 255),
    (70, 33, 257, 187),
    (40, 19, 600, 490),
];

#[test]
fn loss_and_gradient_agree_with_differences_in_every_family() {
    for way in ways() {
        for (n, c, n_keys, first) in SIZES {
            for temperature in [0.2_f32, 1.0] {
                let (q, keys) = (unit_rows(1, n, c), unit_rows(2, n_keys, c));
                let (loss, gradient, result) = run(way, (&q, n), &keys, first, temperature);
                let (q, keys) = (wide(&q), wide(&keys));
                let oracle = |q: &[f64]| oracle(q, &keys, c, first, f64::from(temperature));
                let (expected, logits) = oracle(&q);
                assert_close("loss", &[loss], &[expected], 2e-6);
                assert_close("logits", &result.logits.unwrap(), &logits, 2e-6);
                let by_q = if q.len() < 500 {
                    differences(|q| oracle(q).0, &q)
                } else {
                    gradient_oracle((&logits, &keys), c, first, n)
                };
                assert_close("queries", &gradient, &by_q, 2e-5);
                let is_right = |(i, row): (usize, &[f64])| {
                    let mut others = row.iter().enumerate().filter(|(k, _)| *k != first + i);
                    others.all(|(_, logit)| row[first + i] > *logit)
                };
                let n_right = logits.chunks(n_keys).enumerate().filter(|row| is_right(*row)).count();
                assert_eq!(result.top1, n_right as f32 / n as f32);
            }
        }
    }
}

#[test]
fn large_logits_neither_overflow_nor_lose_the_gradient() {
    for way in ways() {
        for (n, c, n_keys, first) in SIZES {
            let (q, keys) = (unit_rows(3, n, c), unit_rows(4, n_keys, c));
            let (loss, gradient, _) = run(way, (&q, n), &keys, first, 1e-3);
            let (q, keys) = (wide(&q), wide(&keys));
            let (expected, logits) = oracle(&q, &keys, c, first, f64::from(1e-3_f32));
            assert_close("loss", &[loss], &[expected], 2e-6);
            let by_q = gradient_oracle((&logits, &keys), c, first, n);
            assert_close("queries", &gradient, &by_q, 2e-4);
        }
    }
}

#[test]
fn a_loss_near_zero_keeps_its_digits() {
    // Each query is its own key, and the other keys are at right angles: e^-20 is lost beside 1 in f32.
    let c = 3;
    let keys: Vec<f32> = (0..9).map(|i| if i % 4 == 0 { 1.0 } else { 0.0 }).collect();
    for way in ways() {
        let (loss, gradient, result) = run(way, (&keys, 3), &keys, 0, 0.05);
        let (expected, logits) = oracle(&wide(&keys), &wide(&keys), c, 0, f64::from(0.05_f32));
        assert_eq!(result.top1, 1.0);
        assert!((f64::from(loss) / expected - 1.0).abs() < 1e-5, "{loss}, the oracle says {expected}");
        let by_q = gradient_oracle((&logits, &wide(&keys)), c, 0, 3);
        for (ours, theirs) in gradient.iter().zip(by_q) {
            assert!((f64::from(*ours) / theirs - 1.0).abs() < 1e-5, "{ours}, the oracle says {theirs}");
        }
    }
}

#[test]
fn a_single_key_leaves_nothing_to_tell_apart() {
    let (loss, gradient, result) = run(None, (&[0.6, 0.8], 1), &[1.0, 0.0], 0, 0.2);
    assert_eq!((loss, gradient, result.top1), (0.0, vec![0.0; 2], 1.0));
}

#[test]
fn a_negative_as_near_as_the_positive_counts_against() {
    let (_, _, result) = run(None, (&[1.0, 0.0], 1), &[1.0, 0.0, 1.0, 0.0], 0, 0.2);
    assert_eq!(result.top1, 0.0);
}

#[test]
fn what_is_no_number_stays_none() {
    let mut q = unit_rows(1, 3, 4);
    q[5] = f32::NAN;
    let (loss, _, result) = run(None, (&q, 3), &unit_rows(2, 3, 4), 0, 0.2);
    assert!(loss.is_nan());
    assert!(result.top1 < 1.0);
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let (n, c) = (150, 40);
    let (q, keys) = (unit_rows(1, n, c), unit_rows(2, 2 * n, c));
    let bits = |n_threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let (loss, gradient, _) = run(None, (&q, n), &keys, n, 0.2);
            gradient.into_iter().chain([loss]).map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    assert_eq!(bits(1), bits(3));
}

#[test]
fn nothing_is_recorded_and_no_logits_are_kept_unless_asked_for() {
    let q = features_from_rows(&Device::default(), (2, 3), unit_rows(1, 2, 3), Recording::Off).unwrap();
    let keys = matrix((2, 3), &unit_rows(2, 2, 3));
    let result = info_nce_in_batch(q, &keys, 0, 0.2, KeepLogits::No).unwrap();
    assert!(result.logits.is_none());
    assert!(matches!(backward(result.loss), Err(OpError::NotRecorded { .. })));
}

#[test]
fn what_does_not_fit_is_refused() {
    let run = |shape: (usize, usize), first, temperature| {
        let q = rows((2, 3), &unit_rows(1, 2, 3));
        let keys = matrix(shape, &unit_rows(2, shape.0, shape.1));
        info_nce_in_batch(q, &keys, first, temperature, KeepLogits::No).map(|result| result.top1)
    };
    assert!(run((2, 3), 0, 0.2).is_ok());
    assert!(run((4, 3), 2, 0.2).is_ok());
    assert!(matches!(run((2, 4), 0, 0.2), Err(OpError::Shape { .. })));
    assert!(matches!(run((4, 3), 3, 0.2), Err(OpError::Value { .. })));
    assert!(matches!(run((4, 3), usize::MAX, 0.2), Err(OpError::Value { .. })));
    assert!(matches!(run((1, 3), 0, 0.2), Err(OpError::Value { .. })));
    for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(run((2, 3), 0, temperature), Err(OpError::Value { .. })));
    }
}
