//! InfoNCE against the keys of the other images of the batch.

use rayon::prelude::*;

use super::{Contrast, Setting, queue::exp_of_negative};
use crate::{
    memory::build,
    simd::{Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
};

/// Queries that one task compares with all keys.
const TASK_QUERIES: usize = 32;
/// Keys whose logits exist at a time, for the queries of one task.
const BLOCK_KEYS: usize = 256;

/// The cross-entropy of each query's own key among all keys.
///
/// `queries`: `(N, C)`. `keys`: `(M, C)`; the positive of query `i` is key `first + i`. Logits are `(N, M)`.
///
/// Each task has a few queries, and goes through the keys block by block, with the maximum, the sum and the weighted mean
/// of keys so far: the logits of one block exist at a time.
pub fn in_batch(
    family: Family,
    (queries, c): (&[f32], usize),
    keys: &[f32],
    first: usize,
    setting: Setting,
) -> Contrast {
    let Setting { temperature, wants_gradient, keeps_logits } = setting;
    let n = queries.len() / c;
    let keys = &PackedKeys::new(keys, c, family.panel(), wants_gradient);
    let tasks: Vec<Compared> = queries
        .par_chunks(TASK_QUERIES * c)
        .enumerate()
        .map(|(task, queries)| {
            let first = first + task * TASK_QUERIES;
            family.run(CompareQueries { queries, keys, first, temperature, wants_gradient, keeps_logits })
        })
        .collect();
    let cross_entropy = tasks.iter().flat_map(|task| &task.losses).sum::<f64>() / n as f64;
    let n_right = tasks.iter().map(|task| task.n_right).sum();
    let logits = keeps_logits
        .then(|| tasks.iter().filter_map(|task| task.logits.as_ref()).flatten().copied().collect());
    let directions = tasks.into_iter().flat_map(|task| task.directions).collect();
    Contrast { cross_entropy, n_right, directions, logits }
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
    keeps_logits: bool,
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
        let mut kept = self.keeps_logits.then(|| vec![0.0; n * keys.n]);
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
