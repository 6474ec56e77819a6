//! The softmax of queries' logits, some keys at a time: one for all contrastive losses.
//!
//! A task has some of the queries and a run of the keys, and goes through these block by block, with the greatest logit,
//! the sum of exponentials and the weighted sum of keys so far. The positive is kept apart from the negatives, so that
//! neither a small loss nor a small gradient is a difference of large numbers.

use std::ops::Range;

use rayon::prelude::*;

use super::{Contrast, Setting};
use crate::{
    cut::{MANY_TASKS, in_parts},
    panels::{Left, RowsOfWords},
    scratch::with_scratch,
    simd::{Family, Kernel, Lanes, TileMode, exp, max_lane, read, sum_lanes, write},
};

/// Queries of a task, at most.
const TASK_QUERIES: usize = 128;
/// Keys whose logits exist at a time, for the queries of one task.
const BLOCK_KEYS: usize = 128;

/// Queries, and the keys that they are compared with.
#[derive(Clone, Copy)]
pub(super) struct Comparison<'a> {
    pub(super) family: Family,
    /// `(N, C)`.
    pub(super) queries: &'a [f32],
    /// `(M, C)`.
    pub(super) keys: &'a [f32],
    pub(super) c: usize,
    /// The positive of query `i` is key `first + i`; without it all keys are negatives.
    pub(super) first: Option<usize>,
    pub(super) setting: Setting,
}

/// What came of all tasks.
pub(super) struct Compared<'a> {
    comparison: Comparison<'a>,
    queries: Vec<Range<usize>>,
    keys: Vec<Range<usize>>,
    /// For each part of the queries, one for each run of keys.
    tasks: Vec<TaskCompared>,
}

/// What is left of the logits of some queries and keys. Logits are before the temperature.
struct TaskCompared {
    /// The greatest logit of each query's negatives; minus infinity without any.
    greatest: Vec<f32>,
    /// The sum of `exp(logit - greatest)` over each query's negatives.
    sum: Vec<f32>,
    /// `(queries, C)`: the sum of `exp(logit - greatest) * key`; empty without a gradient.
    weighted: Vec<f32>,
    /// The logit of each query's positive, if it is among the keys; empty if there are negatives only.
    positive: Vec<Option<f32>>,
    /// `(queries, keys)`, over the temperature, if asked for.
    logits: Option<Vec<f32>>,
}

impl<'a> Comparison<'a> {
    /// Compares all queries with all keys.
    pub(super) fn run(self) -> Compared<'a> {
        let Self { family, c, setting, .. } = self;
        let n_queries = self.queries.len() / c;
        let queries: Vec<Range<usize>> =
            in_parts(n_queries, self.queries.len().div_ceil(c * TASK_QUERIES)).collect();
        let n_keys = self.keys.len() / c;
        // Runs for many tasks, if the keys have as many blocks.
        let n_runs = MANY_TASKS.div_ceil(queries.len().max(1)).min(n_keys.div_ceil(BLOCK_KEYS));
        let keys: Vec<Range<usize>> = in_parts(n_keys, n_runs).collect();
        let task = |task: usize| {
            let (queries, keys) = (queries[task / n_runs].clone(), keys[task % n_runs].clone());
            let rooms = Rooms::new(queries.len(), c, family.panel(), setting.wants_gradient);
            with_scratch(rooms.len(), |room| {
                family.run(CompareTask { comparison: self, queries, keys, rooms, room })
            })
        };
        let tasks = (0..queries.len() * n_runs).into_par_iter().map(task).collect();
        Compared { comparison: self, queries, keys, tasks }
    }

    fn inv_temperature(self) -> f32 {
        1.0 / self.setting.temperature
    }
}

impl Compared<'_> {
    /// The logit of each query's positive, before the temperature.
    ///
    /// # Panics
    ///
    /// When a positive is not among the keys.
    pub(super) fn positives(&self) -> Vec<f32> {
        let of_part = |tasks: &[TaskCompared]| {
            let of_query = |i: usize| tasks.iter().find_map(|task| task.positive[i]);
            let positives: Option<Vec<f32>> = (0..tasks[0].greatest.len()).map(of_query).collect();
            positives.expect("the positive of each query is among the keys")
        };
        self.tasks.chunks(self.keys.len().max(1)).flat_map(of_part).collect()
    }

    /// The loss, from the logits of the positives before the temperature, and the positives, `(N, C)`.
    pub(super) fn finish(self, positives: &[f32], positive_keys: &[f32]) -> Contrast {
        let Comparison { c, setting, .. } = self.comparison;
        let (n, n_runs) = (positives.len(), self.keys.len());
        let mut directions = vec![0.0; if setting.wants_gradient { n * c } else { 0 }];
        let directions_of: Vec<&mut [f64]> = if setting.wants_gradient {
            directions.chunks_exact_mut(c).collect()
        } else {
            (0..n).map(|_| Default::default()).collect()
        };
        let part_of: Vec<(usize, usize)> = (self.queries.iter().enumerate())
            .flat_map(|(part, queries)| (0..queries.len()).map(move |i| (part, i)))
            .collect();
        let rows: Vec<(f64, bool)> = directions_of
            .into_par_iter()
            .enumerate()
            .map(|(i, direction)| {
                let (part, in_part) = part_of[i];
                let row = Row {
                    runs: &self.tasks[part * n_runs..][..n_runs],
                    i: in_part,
                    inv_temperature: f64::from(self.comparison.inv_temperature()),
                    positive: positives[i],
                    key: &positive_keys[i * c..][..c],
                };
                row.finish(direction)
            })
            .collect();
        Contrast {
            cross_entropy: rows.iter().map(|(loss, _)| loss).sum::<f64>() / n as f64,
            n_right: rows.iter().filter(|(_, is_right)| *is_right).count(),
            logits: setting.keeps_logits.then(|| self.logits()),
            directions,
        }
    }

    /// `(N, M)`.
    fn logits(&self) -> Vec<f32> {
        let n_runs = self.keys.len();
        let mut all = Vec::with_capacity(self.tasks.iter().flat_map(|task| &task.logits).map(Vec::len).sum());
        for (part, queries) in self.queries.iter().enumerate() {
            for i in 0..queries.len() {
                for (task, keys) in self.tasks[part * n_runs..].iter().zip(&self.keys) {
                    let logits =
                        task.logits.iter().flat_map(|logits| &logits[i * keys.len()..][..keys.len()]);
                    all.extend(logits);
                }
            }
        }
        all
    }
}

/// One query, and what came of its comparison with all keys.
struct Row<'a> {
    runs: &'a [TaskCompared],
    /// The query's place in its tasks.
    i: usize,
    inv_temperature: f64,
    positive: f32,
    key: &'a [f32],
}

impl Row<'_> {
    /// The cross-entropy, and whether the positive is the greatest; writes the mean key under the softmax, less the positive
    /// key, where that is wanted.
    fn finish(self, direction: &mut [f64]) -> (f64, bool) {
        let Self { runs, i, inv_temperature, positive, key } = self;
        let greatest = runs.iter().map(|run| run.greatest[i]).fold(f32::NEG_INFINITY, f32::max);
        let is_right = positive > greatest;
        // Everything relative to the greatest of all logits.
        let largest = f64::from(if is_right { positive } else { greatest });
        let power = |logit: f32| ((f64::from(logit) - largest) * inv_temperature).exp();
        let own = power(positive);
        let others = runs.iter().map(|run| f64::from(run.sum[i]) * power(run.greatest[i])).sum::<f64>();
        let distance = (largest - f64::from(positive)) * inv_temperature;
        let loss = if is_right { others.ln_1p() } else { (own + others).ln() + distance };
        if !direction.is_empty() {
            let total = own + others;
            for run in runs {
                let share = power(run.greatest[i]) / total;
                for (direction, &weighted) in direction.iter_mut().zip(&run.weighted[i * key.len()..]) {
                    *direction += share * f64::from(weighted);
                }
            }
            for (direction, &key) in direction.iter_mut().zip(key) {
                *direction -= others / total * f64::from(key);
            }
        }
        (loss, is_right)
    }
}

/// The parts of a task's room, in words.
#[derive(Clone, Copy)]
struct Rooms {
    /// Keys as columns, for `queries * keysᵀ`.
    columns: usize,
    /// Keys as rows, for `weights * keys`.
    rows: usize,
    logits: usize,
}

impl Rooms {
    fn new(n: usize, c: usize, panel: usize, wants_gradient: bool) -> Self {
        Self {
            columns: RowsOfWords::<f32>::room_as_columns(BLOCK_KEYS, c, panel),
            rows: if wants_gradient { RowsOfWords::<f32>::room(BLOCK_KEYS, c, panel) } else { 0 },
            logits: n * BLOCK_KEYS,
        }
    }

    fn len(self) -> usize {
        self.columns + self.rows + self.logits
    }
}

struct CompareTask<'a> {
    comparison: Comparison<'a>,
    queries: Range<usize>,
    keys: Range<usize>,
    rooms: Rooms,
    room: &'a mut [f32],
}

impl Kernel for CompareTask<'_> {
    type Output = TaskCompared;

    #[inline(always)]
    fn run<L: Lanes>(self) -> TaskCompared {
        const { assert!(BLOCK_KEYS.is_multiple_of(2 * L::N)) };
        let Self { comparison, queries, keys, rooms, room } = self;
        let Comparison { c, first, setting, .. } = comparison;
        let (columns, room) = room.split_at_mut(rooms.columns);
        let (rows, logits) = room.split_at_mut(rooms.rows);
        let (n, n_keys) = (queries.len(), keys.len());
        let inv_temperature = comparison.inv_temperature();
        let own = RowsOfWords::<f32>::new(&comparison.queries[queries.start * c..queries.end * c], c);
        let all_keys = RowsOfWords::<f32>::new(comparison.keys, c);
        let mut task = TaskCompared {
            greatest: vec![f32::NEG_INFINITY; n],
            sum: vec![0.0; n],
            weighted: vec![0.0; if setting.wants_gradient { n * c } else { 0 }],
            positive: vec![None; if first.is_some() { n } else { 0 }],
            logits: setting.keeps_logits.then(|| vec![0.0; n * n_keys]),
        };
        for start in keys.clone().step_by(BLOCK_KEYS) {
            let block = start..keys.end.min(start + BLOCK_KEYS);
            let block_keys = all_keys.some(block.clone());
            block_keys.pack_as_columns::<L>(columns);
            let padded = block.len().next_multiple_of(2 * L::N);
            own.left().multiply::<L>(columns, padded, logits, padded, TileMode::Store);
            for (i, row) in logits.chunks_exact_mut(padded).take(n).enumerate() {
                if let Some(kept) = &mut task.logits {
                    let kept = &mut kept[i * n_keys + block.start - keys.start..][..block.len()];
                    kept.iter_mut().zip(&*row).for_each(|(kept, logit)| *kept = logit * inv_temperature);
                }
                if let Some(first) = first
                    && block.contains(&(first + queries.start + i))
                {
                    let positive = &mut row[first + queries.start + i - block.start];
                    task.positive[i] = Some(*positive);
                    *positive = f32::NEG_INFINITY;
                }
                row[block.len()..].fill(f32::NEG_INFINITY);
                let (before, after) = take_in::<L>(row, task.greatest[i], inv_temperature);
                task.greatest[i] = after.greatest;
                task.sum[i] = task.sum[i] * before + after.sum;
                if setting.wants_gradient && before != 1.0 {
                    task.weighted[i * c..][..c].iter_mut().for_each(|weighted| *weighted *= before);
                }
            }
            if setting.wants_gradient {
                block_keys.pack::<L>(rows);
                let weights = RowsOfWords::<f32>::new(&logits[..n * padded], padded).left();
                let weights = Left { n_steps: block.len(), ..weights };
                weights.multiply::<L>(rows, c, &mut task.weighted, c, TileMode::Add);
            }
        }
        task
    }
}

/// What a block of logits adds.
struct Taken {
    /// The greatest logit so far.
    greatest: f32,
    /// The sum of the block's exponentials.
    sum: f32,
}

/// Turns logits into `exp((logit - greatest) * scale)` for the greatest so far, and gives what older sums are to be multiplied
/// by.
#[inline(always)]
fn take_in<L: Lanes>(row: &mut [f32], greatest: f32, scale: f32) -> (f32, Taken) {
    let mut here = L::splat(greatest);
    for logits in row.chunks_exact(L::N) {
        here = L::max(here, read::<L>(logits));
    }
    let now = max_lane::<L>(here);
    if now == f32::NEG_INFINITY {
        // No negative yet.
        row.fill(0.0);
        return (1.0, Taken { greatest, sum: 0.0 });
    }
    let mut sum = L::zero();
    for logits in row.chunks_exact_mut(L::N) {
        let distance = L::sub(read::<L>(logits), L::splat(now));
        let power = exp::<L>(L::mul(distance, L::splat(scale)));
        write::<L>(logits, power);
        sum = L::add(sum, power);
    }
    let before = if now == greatest { 1.0 } else { ((greatest - now) * scale).exp() };
    (before, Taken { greatest: now, sum: sum_lanes::<L>(sum) })
}
