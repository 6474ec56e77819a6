//! InfoNCE against a queue of negatives.

use dfdx::{shapes::HasShape, tensor::SplitTape};
use rayon::prelude::*;

use crate::{
    Buffer, Features, Matrix, OpError, Scalar, device,
    loss::with_gradient,
    simd::{Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
};

/// The loss, and what is worth watching beside it.
#[derive(Debug)]
pub struct InfoNce {
    /// The loss, averaged over the batch.
    pub loss: Scalar,
    /// The loss as a number.
    pub value: f32,
    /// Share of queries whose positive is the largest of all logits. A tie counts against.
    pub top1: f32,
    /// Only when asked for. Against a queue `(N, 1 + K)`, the positive first; in a batch `(N, M)`, a column a key.
    pub logits: Option<Vec<f32>>,
}

/// Whether all logits are wanted, which takes memory for one of each query and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepLogits {
    /// They are.
    Yes,
    /// They are not.
    No,
}

/// Keys that one task compares all queries with.
const TASK_KEYS: usize = 512;

/// InfoNCE (He et al. 2020, arXiv:1911.05722, Eq. 1), in nats, averaged over the batch.
///
/// `q`, `keys`: `(N, C)`, the positive of row `i` being row `i`. `queue`: `(K, C)`. All rows are of unit
/// length. Only `q` gets a gradient.
///
/// The logits of a few hundred keys exist at a time: each task reduces its own to a maximum, a sum and a weighted mean
/// of keys, and these combine to the loss and its gradient.
///
/// # Errors
///
/// When the sizes differ, or the temperature is not positive.
pub fn info_nce_queue(
    q: Features,
    keys: &Matrix,
    queue: &Buffer,
    temperature: f32,
    keep: KeepLogits,
) -> Result<InfoNce, OpError> {
    let (n, c) = *q.shape();
    let n_negatives = check((n, c), *keys.shape(), queue.n_elements(), temperature)?;
    #[cfg(feature = "cuda")]
    if crate::cuda::is_used() {
        return crate::cuda::info_nce_queue(q, keys, queue, temperature, keep);
    }
    let queue: &[f32] = &queue.values;
    let (q, recording) = q.split_tape();
    let (queries, keys) = (device::rows(&q), device::rows(keys));
    let wants_gradient = recording.is_on();

    let family = Family::detected();
    let chunks: Vec<Reduced> = queue
        .par_chunks(TASK_KEYS * c)
        .map(|keys| {
            family.run(ReduceKeys {
                queries: &queries,
                c,
                keys,
                inv_temperature: 1.0 / temperature,
                wants_gradient,
                keep,
            })
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
    let value = (rows.iter().map(|row| row.loss).sum::<f64>() / n as f64) as f32;
    let n_right = rows.iter().filter(|row| row.is_right).count();
    let logits = (keep == KeepLogits::Yes).then(|| assemble(n, n_negatives, &positives, &chunks));
    let loss = with_gradient(&q, recording, value, || {
        // d loss / d q = (mean key under the softmax - positive key) / (temperature * N)
        let factor = 1.0 / (f64::from(temperature) * n as f64);
        rows.into_iter().flat_map(|row| row.direction).map(|value| (value * factor) as f32).collect()
    })?;
    Ok(InfoNce { loss, value, top1: n_right as f32 / n as f32, logits })
}

fn check(
    q: (usize, usize),
    keys: (usize, usize),
    queue_len: usize,
    temperature: f32,
) -> Result<usize, OpError> {
    const OP: &str = "info_nce_queue";
    if keys != q {
        return Err(OpError::shape(OP, "shape of the keys", q, keys));
    }
    if queue_len == 0 || !queue_len.is_multiple_of(q.1) {
        let must = "it must be a positive multiple of the width of a key";
        return Err(OpError::value(OP, "length of the queue", queue_len, must));
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(OpError::value(OP, "temperature", temperature, "it must be positive"));
    }
    Ok(queue_len / q.1)
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
    keep: KeepLogits,
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
        let kept = (self.keep == KeepLogits::Yes).then(|| logits.clone());
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
