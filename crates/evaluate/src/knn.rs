//! k-nearest-neighbor classification in feature space.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use nalgebra::{DMatrix, DMatrixView};
use plugin_api::Embedding;
use rayon::prelude::*;

use crate::normalize::unit_rows;

/// Test rows that one task compares with the whole bank.
const TEST_ROWS: usize = 64;
/// Products that a thread computes between two questions whether to go on: about a second.
const PRODUCTS_PER_ROUND: usize = 1 << 34;

/// Rows of the bank at a time: 64 x 2048 similarities stay in the cache.
const BANK_ROWS: usize = 2048;

/// The accuracy of kNN classification.
#[derive(Clone, Debug, PartialEq)]
pub struct KnnScore {
    /// Top-1 accuracy.
    pub top1: f64,
    /// Top-1 accuracy per class; `None` for a class without test images.
    pub per_class: Vec<Option<f64>>,
    /// The number of neighbors that voted: the requested number, or all if there are fewer.
    pub k: usize,
}

/// Embeddings that cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnnError {
    /// At least one of the two has no labels.
    #[error("the images have no labels")]
    NoLabels,
    /// At least one of the two has no images.
    #[error("there are no images that can be read")]
    NoImages,
    /// Their features have different dimensions.
    #[error("the bank has {bank} features per image, but the test set has {test}")]
    Width {
        /// `D` of the bank.
        bank: usize,
        /// `D` of the test set.
        test: usize,
    },
    /// A feature is infinite or not a number.
    #[error("a feature is infinite or not a number")]
    NotFinite,
}

/// Classifies `test` by a vote of the nearest rows of `bank` (Wu et al. 2018, arXiv:1805.01978, §3.4).
///
/// The `k` rows with the largest cosine similarity s vote for their class with weight exp(s / `temperature`). Ties
/// between similarities go to the earlier row, and ties between votes to the lower class, so the result does not depend
/// on the number of threads.
///
/// # Errors
/// If labels or images are missing, or if the features have different dimensions.
///
/// # Panics
/// If an embedding is inconsistent: its rows are not `n * d` values, its labels are not `n`, or a label is not below
/// `n_classes`.
pub fn knn(bank: &Embedding, test: &Embedding, k: usize, temperature: f64) -> Result<KnnScore, KnnError> {
    let score = knn_while(bank, test, k, temperature, &mut |_| ControlFlow::Continue(()))?;
    Ok(score.expect("nothing stops it"))
}

/// [`knn`], for as long as `watch` says so, which gets the number of rows of `test` that are done, about every second. `None`
/// if it was stopped. The result does not depend on it.
///
/// # Errors
/// As [`knn`].
///
/// # Panics
/// As [`knn`].
pub fn knn_while(
    bank: &Embedding,
    test: &Embedding,
    k: usize,
    temperature: f64,
    watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Option<KnnScore>, KnnError> {
    in_rounds(PRODUCTS_PER_ROUND, (bank, test), (k, temperature), watch)
}

fn in_rounds(
    products_per_round: usize,
    (bank, test): (&Embedding, &Embedding),
    (k, temperature): (usize, f64),
    watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Option<KnnScore>, KnnError> {
    let (Some(bank_labels), Some(test_labels)) = (&bank.labels, &test.labels) else {
        return Err(KnnError::NoLabels);
    };
    if bank.n == 0 || test.n == 0 || bank.d == 0 {
        return Err(KnnError::NoImages);
    }
    if bank.d != test.d {
        return Err(KnnError::Width { bank: bank.d, test: test.d });
    }
    if !bank.rows.par_iter().chain(&test.rows).all(|value| value.is_finite()) {
        return Err(KnnError::NotFinite);
    }
    let (d, k) = (bank.d, k.clamp(1, bank.n));
    let n_classes = bank.n_classes.max(test.n_classes);
    let bank_rows = unit_rows(&bank.rows, d);
    let test_rows = unit_rows(&test.rows, d);

    // Whole tasks, so that each has the rows that it would have without rounds.
    let tasks = (products_per_round / (TEST_ROWS * d).saturating_mul(bank.n)).max(1);
    let n_round = TEST_ROWS * tasks * rayon::current_num_threads();
    let mut is_right: Vec<bool> = Vec::with_capacity(test.n);
    for (rows, labels) in test_rows.chunks(n_round * d).zip(test_labels.chunks(n_round)) {
        if !is_right.is_empty() && watch(is_right.len()).is_break() {
            return Ok(None);
        }
        let tasks = rows.par_chunks(TEST_ROWS * d).zip(labels.par_chunks(TEST_ROWS));
        is_right.par_extend(tasks.flat_map_iter(|(rows, labels)| {
            let neighbors = nearest(&bank_rows, rows, d, k);
            let winners = neighbors.into_iter().map(|near| vote(&near, bank_labels, n_classes, temperature));
            winners.zip(labels).map(|(winner, &label)| winner == label as usize).collect::<Vec<_>>()
        }));
    }

    let mut tally = vec![(0_usize, 0_usize); n_classes];
    for (&label, &is_right) in test_labels.iter().zip(&is_right) {
        let (right, all) = &mut tally[label as usize];
        *right += usize::from(is_right);
        *all += 1;
    }
    let per_class = tally.iter().map(|&(right, all)| (all > 0).then(|| right as f64 / all as f64)).collect();
    let right = tally.iter().map(|(right, _)| right).sum::<usize>();
    Ok(Some(KnnScore { top1: right as f64 / test.n as f64, per_class, k }))
}

/// A row of the bank, and its similarity to a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// The cosine similarity, -1 to 1.
    pub similarity: f32,
    /// The index of the row.
    pub row: usize,
}

/// For each of the `test` rows, its `k` nearest rows of the bank, nearest first. All rows have unit length.
pub(crate) fn nearest(bank: &[f32], test: &[f32], d: usize, k: usize) -> Vec<Vec<Neighbor>> {
    // nalgebra stores columns, so rows `(N, D)` are its matrix `(D, N)`.
    let test = DMatrixView::from_slice(test, d, test.len() / d).transpose(); // (test rows, D)
    let mut kept: Vec<Kept> = (0..test.nrows()).map(|_| Kept::new(k)).collect();
    let mut similarities = DMatrix::zeros(0, 0);
    for (block, bank) in bank.chunks(BANK_ROWS * d).enumerate() {
        let bank = DMatrixView::from_slice(bank, d, bank.len() / d); // (D, bank rows)
        if similarities.ncols() != bank.ncols() {
            similarities = DMatrix::zeros(test.nrows(), bank.ncols());
        }
        similarities.gemm(1.0, &test, &bank, 0.0); // (test rows, bank rows)
        for (column, row) in similarities.column_iter().zip(block * BANK_ROWS..) {
            for (&similarity, kept) in column.iter().zip(&mut kept) {
                kept.offer(Neighbor { similarity, row });
            }
        }
    }
    kept.into_iter().map(Kept::finish).collect()
}

/// The nearest so far, and up to as many again that have not been discarded yet.
struct Kept {
    k: usize,
    /// Nothing at or below this can be among the `k` nearest: rows are offered in order, and the earlier row wins ties.
    threshold: f32,
    candidates: Vec<Neighbor>,
}

impl Kept {
    fn new(k: usize) -> Self {
        Self { k, threshold: f32::NEG_INFINITY, candidates: Vec::new() }
    }

    fn offer(&mut self, neighbor: Neighbor) {
        if neighbor.similarity > self.threshold {
            self.candidates.push(neighbor);
            if self.candidates.len() >= 2 * self.k.max(32) {
                self.trim();
            }
        }
    }

    fn trim(&mut self) {
        if self.candidates.len() > self.k {
            self.candidates.select_nth_unstable_by(self.k - 1, nearer);
            self.candidates.truncate(self.k);
            // `select_nth` leaves the farthest of the `k` in the last place.
            self.threshold = self.candidates[self.k - 1].similarity;
        }
    }

    fn finish(mut self) -> Vec<Neighbor> {
        self.trim();
        self.candidates.sort_unstable_by(nearer);
        self.candidates
    }
}

fn nearer(a: &Neighbor, b: &Neighbor) -> Ordering {
    b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row))
}

/// The class with the most votes. `neighbors` are sorted, so that sums are always the same.
pub(crate) fn vote(neighbors: &[Neighbor], labels: &[u32], n_classes: usize, temperature: f64) -> usize {
    let nearest = neighbors.first().map_or(0.0, |neighbor| neighbor.similarity);
    let mut votes = vec![0.0; n_classes];
    for neighbor in neighbors {
        // Relative to the nearest neighbor, which does not change the winner and avoids overflow at small temperatures.
        let weight = (f64::from(neighbor.similarity - nearest) / temperature).exp();
        votes[labels[neighbor.row] as usize] += weight;
    }
    (0..n_classes).reduce(|best, class| if votes[class] > votes[best] { class } else { best }).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use plugin_api::Rng;

    use super::*;

    fn embedding(n: usize, d: usize, n_classes: usize, seed: u64) -> Embedding {
        let mut rng = Rng::new(seed, "embedding", &[]);
        let labels: Vec<u32> = (0..n).map(|_| rng.below(n_classes) as u32).collect();
        let rows = labels
            .iter()
            .flat_map(|&label| (0..d).map(move |i| (label, i)))
            .map(|(label, i)| 1.5 * f32::from(label as usize % d == i) + rng.normal() as f32)
            .collect();
        Embedding { n, d, rows, labels: Some(labels), n_classes }
    }

    /// The definition, one number at a time.
    fn reference(bank: &Embedding, test: &Embedding, k: usize, temperature: f64) -> f64 {
        let row = |of: &Embedding, i: usize| of.rows[i * of.d..(i + 1) * of.d].to_vec();
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let mut right = 0;
        for i in 0..test.n {
            let mut all: Vec<(f64, u32)> = (0..bank.n)
                .map(|j| (cosine(&row(test, i), &row(bank, j)), bank.labels.as_ref().unwrap()[j]))
                .collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut votes = vec![0.0; bank.n_classes];
            for (similarity, label) in &all[..k.min(bank.n)] {
                votes[*label as usize] += (similarity / temperature).exp();
            }
            let best = votes.iter().cloned().fold(f64::NEG_INFINITY, f64::max);
            let winner = votes.iter().position(|&votes| votes == best).unwrap();
            right += u32::from(winner == test.labels.as_ref().unwrap()[i] as usize);
        }
        f64::from(right) / test.n as f64
    }

    #[test]
    fn the_blocked_vote_agrees_with_the_definition() {
        // Not multiples of the blocks, and more rows than one block of the bank.
        let (bank, test) = (embedding(2300, 12, 7, 1), embedding(131, 12, 7, 2));
        for (k, temperature) in [(1, 0.1), (20, 0.07), (200, 0.1), (5000, 1.0)] {
            let score = knn(&bank, &test, k, temperature).unwrap();
            assert_eq!(score.top1, reference(&bank, &test, k, temperature), "k {k}");
            assert_eq!(score.k, k.min(2300));
            assert!(score.top1 > 0.3);
        }
    }

    #[test]
    fn it_stops_between_rounds_when_it_is_asked_to() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let (bank, test) = (embedding(300, 12, 7, 1), embedding(200, 12, 7, 2));
        let mut asked = Vec::new();
        let mut until = |last: usize| {
            asked.clear();
            let mut watch = |n_done| {
                asked.push(n_done);
                if n_done < last { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            let score = pool.install(|| in_rounds(1, (&bank, &test), (20, 0.1), &mut watch)).unwrap();
            (score, asked.clone())
        };
        assert_eq!(until(128), (None, vec![64, 128]));
        assert_eq!(until(1000), (Some(knn(&bank, &test, 20, 0.1).unwrap()), vec![64, 128, 192]));
    }

    #[test]
    fn an_image_finds_its_own_copy() {
        let bank = embedding(300, 8, 5, 3);
        let score = knn(&bank, &bank, 1, 0.1).unwrap();
        assert_eq!(score.top1, 1.0);
        assert_eq!(score.per_class, vec![Some(1.0); 5]);
    }

    #[test]
    fn classes_are_counted_apart() {
        let rows = vec![1.0, 0.0, 0.0, 1.0];
        let bank = Embedding { n: 2, d: 2, rows, labels: Some(vec![0, 1]), n_classes: 3 };
        let test =
            Embedding { n: 2, d: 2, rows: vec![2.0, 0.1, 3.0, 0.0], labels: Some(vec![0, 1]), n_classes: 3 };
        let score = knn(&bank, &test, 1, 0.1).unwrap();
        assert_eq!(score.per_class, [Some(1.0), Some(0.0), None]);
        assert_eq!(score.top1, 0.5);
    }

    #[test]
    fn of_equal_neighbors_the_earlier_votes() {
        let bank = Embedding {
            n: 100,
            d: 1,
            rows: vec![1.0; 100],
            labels: Some((0..100).map(|i| i % 3).collect()),
            n_classes: 3,
        };
        let test = Embedding { n: 1, d: 1, rows: vec![1.0], labels: Some(vec![0]), n_classes: 3 };
        assert_eq!(knn(&bank, &test, 1, 0.1).unwrap().top1, 1.0);
        assert_eq!(knn(&bank, &test, 100, 0.1).unwrap().top1, 1.0);
    }

    #[test]
    fn a_tiny_temperature_does_not_overflow() {
        let bank = embedding(300, 8, 5, 4);
        assert_eq!(knn(&bank, &bank, 50, 1e-6).unwrap().top1, 1.0);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let good = embedding(10, 4, 2, 5);
        let without = Embedding { labels: None, ..good.clone() };
        assert_eq!(knn(&good, &without, 5, 0.1), Err(KnnError::NoLabels));
        let mut infinite = good.clone();
        infinite.rows[3] = f32::NAN;
        assert_eq!(knn(&infinite, &good, 5, 0.1), Err(KnnError::NotFinite));
        assert_eq!(knn(&good, &embedding(10, 5, 2, 5), 5, 0.1), Err(KnnError::Width { bank: 4, test: 5 }));
        let empty = Embedding { n: 0, d: 4, rows: vec![], labels: Some(vec![]), n_classes: 2 };
        assert_eq!(knn(&empty, &good, 5, 0.1), Err(KnnError::NoImages));
    }
}
