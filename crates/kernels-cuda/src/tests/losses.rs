//! InfoNCE, and sums of products.

use kernels_cpu::Precision;

use super::*;
use crate::{
    contrast::{Asked, Candidates, Contrast, contrast},
    dot::{dot, scaled, scaled_by},
};

const WIDTH: usize = 24;
const TEMPERATURE: f64 = 0.2;

/// What comes of logits `(N, M)`, the positive of query `i` being number `place(i)`: the mean cross-entropy, how many are right,
/// and the weights of all keys in the gradient.
fn oracle(logits: &[Vec<f64>], place: impl Fn(usize) -> usize) -> (f64, usize, Vec<Vec<f64>>) {
    let (mut entropy, mut n_right, mut weights) = (0.0, 0, Vec::new());
    for (i, row) in logits.iter().enumerate() {
        let greatest = row.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = row.iter().map(|logit| (logit - greatest).exp()).sum();
        let p: Vec<f64> = row.iter().map(|logit| (logit - greatest).exp() / total).collect();
        entropy -= p[place(i)].ln();
        let is_other_less = |(j, logit): (usize, &f64)| j == place(i) || *logit < row[place(i)];
        n_right += usize::from(row.iter().enumerate().all(is_other_less));
        weights.push(p.iter().enumerate().map(|(j, p)| if j == place(i) { p - 1.0 } else { *p }).collect());
    }
    (entropy / logits.len() as f64, n_right, weights)
}

fn logits_of(queries: &[f64], keys: &[f64]) -> Vec<Vec<f64>> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / TEMPERATURE;
    queries.chunks(WIDTH).map(|query| keys.chunks(WIDTH).map(|key| dot(query, key)).collect()).collect()
}

fn asked(keeps_logits: bool) -> Asked {
    Asked { temperature: TEMPERATURE as f32, gradient_factor: Some(0.5), keeps_logits }
}

fn is_right(what: &str, got: Contrast, entropy: f64, n_right: usize, gradient: &[f64], logits: &[f64]) {
    assert!((got.cross_entropy - entropy).abs() <= 1e-5 * entropy, "{what}: {}", got.cross_entropy);
    assert_eq!(got.n_right, n_right, "{what}");
    check(what, &got.gradient.unwrap(), gradient, 1e-5);
    assert_close(what, &got.logits.unwrap(), logits, 1e-5);
}

#[test]
fn a_contrast_with_a_queue_is_its_definition() {
    for (n, n_negatives) in [(1, 1), (7, 40), (3, 1000)] {
        for precision in [Precision::F32, Precision::Bf16] {
            let what = format!("{n} queries, {n_negatives} negatives, {precision:?}");
            let (queries, of_queries) = array(1, n * WIDTH, precision);
            let (positives, of_positives) = array(2, n * WIDTH, precision);
            let (queue, of_queue) = weight(3, n_negatives * WIDTH, Precision::F32);
            let mut logits = logits_of(&of_queries, &of_queue);
            let positive = logits_of(&of_queries, &of_positives);
            logits.iter_mut().enumerate().for_each(|(i, row)| row.insert(0, positive[i][i]));
            let (entropy, n_right, weights) = oracle(&logits, |_| 0);
            let mut gradient = Vec::new();
            for (i, weights) in weights.iter().enumerate() {
                for c in 0..WIDTH {
                    let own = weights[0] * of_positives[i * WIDTH + c];
                    let others = weights[1..].iter().enumerate().map(|(j, w)| w * of_queue[j * WIDTH + c]);
                    gradient.push(0.5 * (own + others.sum::<f64>()));
                }
            }
            let candidates = Candidates::Queue { positives: &positives, queue: &queue };
            let got = contrast(&queries, WIDTH, candidates, asked(true)).unwrap();
            is_right(&what, got, entropy, n_right, &gradient, &logits.concat());
            let candidates = Candidates::Queue { positives: &positives, queue: &queue };
            let without = Asked { gradient_factor: None, ..asked(false) };
            let got = contrast(&queries, WIDTH, candidates, without).unwrap();
            assert!((got.cross_entropy - entropy).abs() < 1e-5 * entropy, "{what}");
            assert!(got.gradient.is_none() && got.logits.is_none(), "{what}");
        }
    }
}

#[test]
fn a_contrast_in_a_batch_is_its_definition() {
    for (n, n_keys, first) in [(1, 1, 0), (4, 9, 0), (4, 9, 5), (300, 300, 0)] {
        let what = format!("{n} queries, {n_keys} keys, {first}");
        let (queries, of_queries) = array(1, n * WIDTH, Precision::F32);
        let (keys, of_keys) = array(2, n_keys * WIDTH, Precision::F32);
        let logits = logits_of(&of_queries, &of_keys);
        let (entropy, n_right, weights) = oracle(&logits, |i| first + i);
        let by_query = product(&weights.concat(), &of_keys, [n, n_keys, WIDTH]);
        let gradient: Vec<f64> = by_query.iter().map(|value| 0.5 * value).collect();
        let got = contrast(&queries, WIDTH, Candidates::Keys { keys: &keys, first }, asked(true)).unwrap();
        is_right(&what, got, entropy, n_right, &gradient, &logits.concat());
    }
}

#[test]
fn sums_of_products_are_their_definition() {
    // One block, several, and more than one block adds at a time.
    for n in [1, 255, 5000, 1_100_000] {
        for (precision, _) in PRECISIONS {
            let (a, of_a) = array(1, n, precision);
            let (b, of_b) = array(2, n, Precision::F32);
            let sum: f64 = of_a.iter().zip(&of_b).map(|(a, b)| a * b).sum();
            check(&format!("{n} products"), &dot(&a, &b).unwrap(), &[sum], 1e-6);
        }
    }
    let (x, values) = array(1, 1000, Precision::F32);
    let (factor, of_factor) = array(2, 1, Precision::F32);
    let times = |factor: f64| values.iter().map(|value| value * factor).collect::<Vec<_>>();
    check("scaled", &scaled(&x, -0.75).unwrap(), &times(-0.75), 1e-6);
    check("scaled by a value", &scaled_by(&x, &factor).unwrap(), &times(of_factor[0]), 1e-6);
}
