//! InfoNCE against the keys of the other images of the batch.

use dfdx::{shapes::HasShape, tensor::SplitTape};
use rayon::prelude::*;

use crate::{
    Features, InfoNce, KeepLogits, Matrix, OpError, device,
    info_nce::exp_of_negative,
    loss::with_gradient,
    memory::build,
    simd::{Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
};

/// Queries that one task compares with all keys.
const TASK_QUERIES: usize = 32;
/// Keys whose logits exist at a time, for the queries of one task.
const BLOCK_KEYS: usize = 256;

/// `2 T` times the cross-entropy of `q · keysᵀ / T`, in nats, averaged over the queries (Chen et al. 2021,
/// arXiv:2104.02057, algorithm 1).
///
/// `q`: `(N, C)`. `keys`: `(M, C)`, those of all processes; the positive of query `i` is key `first + i`. All rows are of
/// unit length. Only `q` gets a gradient. Logits, if kept, are `(N, M)`, in the order of the keys.
///
/// The factor `2 T` makes the size of the gradient independent of the temperature, as in the reference.
///
/// Each task has a few queries, and goes through the keys block by block, with the maximum, the sum and the weighted mean
/// of keys so far: the logits of one block exist at a time.
///
/// # Errors
///
/// When the widths differ, a positive lies outside of the keys, or the temperature is not positive.
pub fn info_nce_in_batch(
    q: Features,
    keys: &Matrix,
    first: usize,
    temperature: f32,
    keep: KeepLogits,
) -> Result<InfoNce, OpError> {
    #[cfg(feature = "cuda")]
    if crate::cuda::is_used() {
        check(*q.shape(), *keys.shape(), first, temperature)?;
        return crate::cuda::info_nce_in_batch(q, keys, first, temperature, keep);
    }
    info_nce_with(Family::detected(), q, keys, first, temperature, keep)
}

fn info_nce_with(
    family: Family,
    q: Features,
    keys: &Matrix,
    first: usize,
    temperature: f32,
    keep: KeepLogits,
) -> Result<InfoNce, OpError> {
    let (n, c) = *q.shape();
    check((n, c), *keys.shape(), first, temperature)?;
    let (q, recording) = q.split_tape();
    let (queries, keys) = (device::rows(&q), device::rows(keys));
    let wants_gradient = recording.is_on();
    let keys = &PackedKeys::new(&keys, c, family.panel(), wants_gradient);
    let tasks: Vec<Compared> = queries
        .par_chunks(TASK_QUERIES * c)
        .enumerate()
        .map(|(task, queries)| {
            let first = first + task * TASK_QUERIES;
            family.run(CompareQueries { queries, keys, first, temperature, wants_gradient, keep })
        })
        .collect();

    let temperature = f64::from(temperature);
    let cross_entropy = tasks.iter().flat_map(|task| &task.losses).sum::<f64>() / n as f64;
    let n_right: usize = tasks.iter().map(|task| task.n_right).sum();
    let logits = (keep == KeepLogits::Yes)
        .then(|| tasks.iter().filter_map(|task| task.logits.as_ref()).flatten().copied().collect());
    let value = (2.0 * temperature * cross_entropy) as f32;
    let loss = with_gradient(&q, recording, value, || {
        // d loss / d q = 2 T * (mean key under the softmax - positive key) / (T * N)
        let factor = 2.0 / n as f64;
        let directions = tasks.into_iter().flat_map(|task| task.directions);
        directions.map(|value| (value * factor) as f32).collect()
    })?;
    Ok(InfoNce { loss, value, top1: n_right as f32 / n as f32, logits })
}

fn check(q: (usize, usize), keys: (usize, usize), first: usize, temperature: f32) -> Result<(), OpError> {
    const OP: &str = "info_nce_in_batch";
    if keys.1 != q.1 {
        return Err(OpError::shape(OP, "width of the keys", q.1, keys.1));
    }
    if q.0 == 0 || q.1 == 0 {
        return Err(OpError::value(OP, "shape of the queries", q, "every size must be at least 1"));
    }
    if first.checked_add(q.0).is_none_or(|end| end > keys.0) {
        let must = "each query must have its positive among the keys";
        return Err(OpError::value(OP, "place of the first positive", first, must));
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(OpError::value(OP, "temperature", temperature, "it must be positive"));
    }
    Ok(())
}

/// Keys in panels, as the matrix product wants its right side, for both products.
struct PackedKeys<'a> {
    keys: &'a [f32],
    n: usize,
    c: usize,
    panel: usize,
    /// For `q · keysᵀ`: a panel has some keys, `(C, panel)`.
    as_columns: Vec<f32>,
    /// For `weights · keys`: a panel has some features of all keys, `(M, panel)`. Empty without a gradient.
    as_rows: Vec<f32>,
}

impl<'a> PackedKeys<'a> {
    fn new(keys: &'a [f32], c: usize, panel: usize, wants_gradient: bool) -> Self {
        let n = keys.len() / c;
        let as_columns = build(&vec![c * panel; n.div_ceil(panel)], |panel_idx, packed| {
            let keys = keys[panel_idx * panel * c..].chunks_exact(c).take(panel);
            for (column, key) in keys.enumerate() {
                for (to, value) in packed[column..].iter_mut().step_by(panel).zip(key) {
                    *to = *value;
                }
            }
        });
        let n_panels = if wants_gradient { c.div_ceil(panel) } else { 0 };
        let as_rows = build(&vec![n * panel; n_panels], |panel_idx, packed| {
            let features = panel_idx * panel..c.min((panel_idx + 1) * panel);
            for (to, key) in packed.chunks_exact_mut(panel).zip(keys.chunks_exact(c)) {
                to[..features.len()].copy_from_slice(&key[features.clone()]);
            }
        });
        Self { keys, n, c, panel, as_columns, as_rows }
    }
}

/// Some queries, compared with all keys.
struct Compared {
    /// The cross-entropy of each.
    losses: Vec<f64>,
    /// How many are nearest to their own key.
    n_right: usize,
    /// `(queries, C)`: the mean key under the softmax, less the positive key; empty without a gradient.
    directions: Vec<f64>,
    /// `(queries, M)`, if asked for.
    logits: Option<Vec<f32>>,
}

struct CompareQueries<'a> {
    queries: &'a [f32],
    keys: &'a PackedKeys<'a>,
    /// The positive of the first query.
    first: usize,
    temperature: f32,
    wants_gradient: bool,
    keep: KeepLogits,
}

/// What is known of one query after some blocks of keys.
///
/// The positive is kept apart from the negatives, so that neither a small loss nor a small gradient is a difference of
/// large numbers.
#[derive(Clone, Copy)]
struct SoFar {
    /// The largest logit of a negative.
    max: f64,
    /// The sum of `exp(logit - max)` over the negatives.
    sum: f64,
    /// The logit of the positive.
    positive: f32,
}

impl Kernel for CompareQueries<'_> {
    type Output = Compared;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Compared {
        let Self { queries, keys, wants_gradient, .. } = self;
        let c = keys.c;
        let n = queries.len() / c;
        let inv_temperature = 1.0 / self.temperature;
        let mut so_far = vec![SoFar { max: f64::NEG_INFINITY, sum: 0.0, positive: 0.0 }; n];
        // The sum of `exp(logit - max) * key` over the negatives.
        let mut weighted = vec![0.0_f64; if wants_gradient { n * c } else { 0 }];
        let mut kept = (self.keep == KeepLogits::Yes).then(|| vec![0.0; n * keys.n]);
        let mut logits = vec![0.0; n * BLOCK_KEYS.min(keys.n)];
        let mut block_weighted = vec![0.0; weighted.len()];
        for start in (0..keys.n).step_by(BLOCK_KEYS) {
            let n_keys = BLOCK_KEYS.min(keys.n - start);
            let logits = &mut logits[..n * n_keys];
            multiply_by_transposed::<L>(queries, keys, start, n_keys, logits);
            let mut factors = Vec::with_capacity(n);
            for (i, (row, so_far)) in logits.chunks_exact_mut(n_keys).zip(&mut so_far).enumerate() {
                for logit in &mut *row {
                    *logit *= inv_temperature;
                }
                if let Some(kept) = &mut kept {
                    kept[i * keys.n + start..][..n_keys].copy_from_slice(row);
                }
                let positive = (self.first + i).checked_sub(start).filter(|at| *at < n_keys);
                factors.push(take_in(row, positive, so_far));
            }
            if wants_gradient {
                multiply::<L>(logits, keys, start, n_keys, &mut block_weighted);
                let rows = weighted.chunks_exact_mut(c).zip(block_weighted.chunks_exact(c));
                for ((weighted, block), [before, here]) in rows.zip(factors) {
                    for (weighted, value) in weighted.iter_mut().zip(block) {
                        *weighted = *weighted * before + f64::from(*value) * here;
                    }
                }
            }
        }
        finish(keys, self.first, &so_far, weighted, kept)
    }
}

/// Turns the logits of a block into `exp(logit - max of the block)`, 0 for the positive, and adds them to what is known.
///
/// Gives the factors that bring older sums, and those of this block, to the new maximum.
#[inline(always)]
fn take_in(row: &mut [f32], positive: Option<usize>, so_far: &mut SoFar) -> [f64; 2] {
    if let Some(at) = positive {
        so_far.positive = row[at];
        row[at] = f32::NEG_INFINITY;
    }
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // A block may have no negative, and infinity less infinity is no number.
    let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
    let mut partial = [0.0_f32; 16];
    for chunk in row.chunks_mut(16) {
        for (logit, partial) in chunk.iter_mut().zip(&mut partial) {
            *logit = exp_of_negative(*logit - shift);
            *partial += *logit;
        }
    }
    let sum: f32 = partial.iter().sum();
    let new_max = so_far.max.max(f64::from(max));
    let factor = |max: f64| if max == f64::NEG_INFINITY { 1.0 } else { (max - new_max).exp() };
    let factors = [factor(so_far.max), factor(f64::from(max))];
    so_far.sum = so_far.sum * factors[0] + f64::from(sum) * factors[1];
    so_far.max = new_max;
    factors
}

/// Adds the positives, and gives losses and directions.
fn finish(
    keys: &PackedKeys<'_>,
    first: usize,
    so_far: &[SoFar],
    mut weighted: Vec<f64>,
    logits: Option<Vec<f32>>,
) -> Compared {
    let c = keys.c;
    let mut losses = Vec::with_capacity(so_far.len());
    let mut n_right = 0;
    for (i, SoFar { max, sum, positive }) in so_far.iter().copied().enumerate() {
        let positive = f64::from(positive);
        let is_right = positive > max;
        n_right += usize::from(is_right);
        // Everything relative to the largest of all logits.
        let largest = if is_right { positive } else { max };
        let own = (positive - largest).exp();
        let to_largest = if max == f64::NEG_INFINITY { 1.0 } else { (max - largest).exp() };
        let others = sum * to_largest;
        losses.push(if is_right { others.ln_1p() } else { (own + others).ln() + largest - positive });
        if let Some(direction) = weighted.get_mut(i * c..(i + 1) * c) {
            let total = own + others;
            let key = &keys.keys[(first + i) * c..][..c];
            for (direction, key) in direction.iter_mut().zip(key) {
                *direction = (*direction * to_largest - others * f64::from(*key)) / total;
            }
        }
    }
    Compared { losses, n_right, directions: weighted, logits }
}

/// `out = queries · keysᵀ` for the keys from `start` on, which begins a panel.
#[inline(always)]
fn multiply_by_transposed<L: Lanes>(
    queries: &[f32],
    keys: &PackedKeys<'_>,
    start: usize,
    n_keys: usize,
    out: &mut [f32],
) {
    const { assert!(BLOCK_KEYS.is_multiple_of(2 * L::N)) };
    let (c, panel) = (keys.c, keys.panel);
    let n = queries.len() / c;
    let segments = [Segment { a: 0, b: 0, n_steps: c }];
    for first in (0..n_keys).step_by(panel) {
        let b = &keys.as_columns[(start + first) * c..][..c * panel];
        let operands = Operands { a: queries, a_row: c, a_step: 1, b, b_step: 2 * L::N, segments: &segments };
        let n_columns = panel.min(n_keys - first);
        multiply_rows::<L, _, _>(operands, n, &mut out[first..], n_keys, n_columns, TileMode::Store);
    }
}

/// `out = weights · keys` for the keys from `start` on; `weights` are `(queries, n_keys)`.
#[inline(always)]
fn multiply<L: Lanes>(weights: &[f32], keys: &PackedKeys<'_>, start: usize, n_keys: usize, out: &mut [f32]) {
    let (c, panel) = (keys.c, keys.panel);
    let n = weights.len() / n_keys;
    let segments = [Segment { a: 0, b: start * panel, n_steps: n_keys }];
    for (panel_idx, b) in keys.as_rows.chunks_exact(keys.n * panel).enumerate() {
        let first = panel_idx * panel;
        let operands =
            Operands { a: weights, a_row: n_keys, a_step: 1, b, b_step: 2 * L::N, segments: &segments };
        multiply_rows::<L, _, _>(operands, n, &mut out[first..], c, panel.min(c - first), TileMode::Store);
    }
}

#[cfg(test)]
mod tests {
    use dfdx::tensor::{AsArray, PutTape};
    use rayon::ThreadPoolBuilder;

    use super::*;
    use crate::{
        Device, Recording, backward, features_from_rows, l2_normalize,
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
        Family::available().into_iter().map(Some).chain([None])
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
            Some(family) => info_nce_with(family, q, &keys, first, temperature, KeepLogits::Yes),
            None => info_nce_in_batch(q, &keys, first, temperature, KeepLogits::Yes),
        };
        let result = result.unwrap();
        let (loss, recording) = result.loss.split_tape();
        let kept = loss.clone().put_tape(Recording::Off);
        let gradient = to_rows(&backward(loss.clone().put_tape(recording)).unwrap().get(&name));
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
}
