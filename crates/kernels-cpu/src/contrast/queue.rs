//! InfoNCE against a queue of negatives.

use rayon::prelude::*;

use super::{Contrast, Setting};
use crate::simd::{Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows};

/// Keys that one task compares all queries with.
const TASK_KEYS: usize = 512;

/// The cross-entropy of each query's own key among the keys of a queue.
///
/// `queries`, `keys`: `(N, C)`, the positive of row `i` being row `i`. `queue`: `(K, C)`. Logits are `(N, 1 + K)`, the
/// positive first.
///
/// The logits of a few hundred keys exist at a time: each task reduces its own to a maximum, a sum and a weighted mean
/// of keys, and these combine to the loss and its gradient.
pub fn against_queue(
    family: Family,
    (queries, c): (&[f32], usize),
    keys: &[f32],
    queue: &[f32],
    setting: Setting,
) -> Contrast {
    let Setting { temperature, wants_gradient, keeps_logits } = setting;
    let n = queries.len() / c;
    let chunks: Vec<Reduced> = queue
        .par_chunks(TASK_KEYS * c)
        .map(|keys| {
            let inv_temperature = 1.0 / temperature;
            family.run(ReduceKeys { queries, c, keys, inv_temperature, wants_gradient, keeps_logits })
        })
        .collect();
    let positives: Vec<f32> = queries
        .chunks_exact(c)
        .zip(keys.chunks_exact(c))
        .map(|(q, k)| {
            q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>() as f32 / temperature
        })
        .collect();

    let rows: Vec<Row> = (0..n)
        .into_par_iter()
        .map(|i| {
            let positive = (positives[i], &keys[i * c..][..c]);
            combine(i, c, positive, &chunks, wants_gradient)
        })
        .collect();
    let cross_entropy = rows.iter().map(|row| row.loss).sum::<f64>() / n as f64;
    let n_right = rows.iter().filter(|row| row.is_right).count();
    let logits = keeps_logits.then(|| assemble(n, queue.len() / c, &positives, &chunks));
    let directions = rows.into_iter().flat_map(|row| row.direction).collect();
    Contrast { cross_entropy, n_right, directions, logits }
}

/// What is left of the logits of some keys.
struct Reduced {
    /// `N`: the largest logit.
    max: Vec<f32>,
    /// `N`: the sum of `exp(logit - max)`.
    sum: Vec<f32>,
    /// `(N, C)`: the sum of `exp(logit - max) * key`, if a gradient is wanted.
    weighted: Vec<f32>,
    /// `(N, keys)`, if asked for.
    logits: Option<Vec<f32>>,
}

struct ReduceKeys<'a> {
    queries: &'a [f32],
    c: usize,
    keys: &'a [f32],
    inv_temperature: f32,
    wants_gradient: bool,
    keeps_logits: bool,
}

impl Kernel for ReduceKeys<'_> {
    type Output = Reduced;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Reduced {
        let Self { queries, c, keys, .. } = self;
        let (n, n_keys) = (queries.len() / c, keys.len() / c);
        let mut logits = multiply_transposed::<L>(queries, keys, (n, c, n_keys));
        for logit in &mut logits {
            *logit *= self.inv_temperature;
        }
        let kept = self.keeps_logits.then(|| logits.clone());
        let mut max = Vec::with_capacity(n);
        let mut sum = Vec::with_capacity(n);
        for row in logits.chunks_exact_mut(n_keys) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut partial = [0.0_f32; 16];
            for chunk in row.chunks_mut(16) {
                for (logit, partial) in chunk.iter_mut().zip(&mut partial) {
                    *logit = exp_of_negative(*logit - largest);
                    *partial += *logit;
                }
            }
            max.push(largest);
            sum.push(partial.iter().sum());
        }
        let weighted =
            if self.wants_gradient { multiply_plain::<L>(&logits, keys, (n, n_keys, c)) } else { Vec::new() };
        Reduced { max, sum, weighted, logits: kept }
    }
}

/// `(n, k)` times the transpose of `(m, k)`.
#[inline(always)]
fn multiply_transposed<L: Lanes>(a: &[f32], b: &[f32], (n, k, m): (usize, usize, usize)) -> Vec<f32> {
    let panel = 2 * L::N;
    let mut out = vec![0.0; n * m];
    let mut packed = vec![0.0; k * panel];
    for (panel_idx, rows) in b.chunks(panel * k).enumerate() {
        let n_columns = rows.len() / k;
        for (column, row) in rows.chunks_exact(k).enumerate() {
            for (to, &value) in packed[column..].iter_mut().step_by(panel).zip(row) {
                *to = value;
            }
        }
        let segments = [Segment { a: 0, b: 0, n_steps: k }];
        let operands = Operands { a, a_row: k, a_step: 1, b: &packed, b_step: 2 * L::N, segments: &segments };
        multiply_rows::<L, _, _>(operands, n, &mut out[panel_idx * panel..], m, n_columns, TileMode::Store);
    }
    out
}

/// `(n, k)` times `(k, m)`.
#[inline(always)]
fn multiply_plain<L: Lanes>(a: &[f32], b: &[f32], (n, k, m): (usize, usize, usize)) -> Vec<f32> {
    let panel = 2 * L::N;
    let mut out = vec![0.0; n * m];
    let mut packed = vec![0.0; k * panel];
    for first in (0..m).step_by(panel) {
        let n_columns = panel.min(m - first);
        for (to, row) in packed.chunks_exact_mut(panel).zip(b.chunks_exact(m)) {
            to[..n_columns].copy_from_slice(&row[first..first + n_columns]);
        }
        let segments = [Segment { a: 0, b: 0, n_steps: k }];
        let operands = Operands { a, a_row: k, a_step: 1, b: &packed, b_step: 2 * L::N, segments: &segments };
        multiply_rows::<L, _, _>(operands, n, &mut out[first..], m, n_columns, TileMode::Store);
    }
    out
}

/// `exp(x)` for `x <= 0`, to two units in the last place; below -87 it is 0.
///
/// Straight-line code that the compiler turns into vectors, which the C library's is not.
#[inline(always)]
pub(crate) fn exp_of_negative(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_145_75;
    const LN2_LOW: f32 = 1.428_606_8e-6;
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x < -87.0 { -87.0 } else { x };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    // Taylor's series to the sixth power: |r| is at most ln(2) / 2, and the seventh term below 2e-7.
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x < -87.0 { 0.0 } else { p * power }
}

/// One query.
struct Row {
    loss: f64,
    is_right: bool,
    /// `C`: the mean key under the softmax, less the positive key; empty without a gradient.
    direction: Vec<f64>,
}

fn combine(
    i: usize,
    c: usize,
    (positive, key): (f32, &[f32]),
    chunks: &[Reduced],
    wants_gradient: bool,
) -> Row {
    let largest_negative = chunks.iter().map(|chunk| chunk.max[i]).fold(f32::NEG_INFINITY, f32::max);
    let max = f64::from(largest_negative.max(positive));
    let factors: Vec<f64> = chunks.iter().map(|chunk| (f64::from(chunk.max[i]) - max).exp()).collect();
    let own = (f64::from(positive) - max).exp();
    let sum = own
        + chunks.iter().zip(&factors).map(|(chunk, factor)| f64::from(chunk.sum[i]) * factor).sum::<f64>();
    let mut direction = Vec::new();
    if wants_gradient {
        direction = key.iter().map(|&key| (own / sum - 1.0) * f64::from(key)).collect();
        for (chunk, factor) in chunks.iter().zip(&factors) {
            let share = factor / sum;
            for (direction, &weighted) in direction.iter_mut().zip(&chunk.weighted[i * c..][..c]) {
                *direction += share * f64::from(weighted);
            }
        }
    }
    Row { loss: sum.ln() + max - f64::from(positive), is_right: positive > largest_negative, direction }
}

fn assemble(n: usize, n_negatives: usize, positives: &[f32], chunks: &[Reduced]) -> Vec<f32> {
    let mut all = Vec::with_capacity(n * (1 + n_negatives));
    for (i, &positive) in positives.iter().enumerate() {
        all.push(positive);
        for logits in chunks.iter().filter_map(|chunk| chunk.logits.as_ref()) {
            let n_keys = logits.len() / n;
            all.extend_from_slice(&logits[i * n_keys..][..n_keys]);
        }
    }
    all
}
