//! Nearest neighbors of images.

use rayon::prelude::*;

use crate::knn::{KnnError, Neighbor, nearest};
use crate::normalize::unit_rows;

/// Queries that one task compares with the whole bank.
const QUERY_ROWS: usize = 64;

/// For each of the `queries`, `(M, D)`, its `k` nearest rows of `bank`, `(N, D)`, by cosine similarity, nearest first.
///
/// Returns fewer than `k` if the bank has fewer rows. Ties go to the earlier row, so the result does not depend on the
/// number of threads. A row of zeros has similarity 0 to every other row.
///
/// # Errors
/// If the bank has no rows, or a feature is not finite.
///
/// # Panics
/// If the values are not a multiple of `d`.
pub fn neighbors(bank: &[f32], queries: &[f32], d: usize, k: usize) -> Result<Vec<Vec<Neighbor>>, KnnError> {
    if bank.is_empty() || d == 0 {
        return Err(KnnError::NoImages);
    }
    assert!(
        bank.len().is_multiple_of(d) && queries.len().is_multiple_of(d),
        "features are whole rows of {d}"
    );
    if !bank.par_iter().chain(queries).all(|value| value.is_finite()) {
        return Err(KnnError::NotFinite);
    }
    let k = k.min(bank.len() / d);
    if k == 0 {
        return Ok(vec![Vec::new(); queries.len() / d]);
    }
    let (bank, queries) = (unit_rows(bank, d), unit_rows(queries, d));
    Ok(queries.par_chunks(QUERY_ROWS * d).flat_map_iter(|rows| nearest(&bank, rows, d, k)).collect())
}

#[cfg(test)]
mod tests {
    use plugin_api::Rng;

    use super::*;

    fn rows(n: usize, d: usize, seed: u64) -> Vec<f32> {
        let mut rng = Rng::new(seed, "rows", &[]);
        (0..n * d).map(|_| rng.normal() as f32).collect()
    }

    #[test]
    fn neighbors_are_those_of_the_definition_in_order() {
        let (d, k) = (6, 9);
        let (bank, queries) = (rows(2500, d, 1), rows(70, d, 2));
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let found = neighbors(&bank, &queries, d, k).unwrap();
        assert_eq!(found.len(), 70);
        for (query, found) in queries.chunks(d).zip(&found) {
            let mut all: Vec<(f64, usize)> = bank.chunks(d).map(|row| cosine(query, row)).zip(0..).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            assert_eq!(found.len(), k);
            for (neighbor, (similarity, row)) in found.iter().zip(all) {
                assert_eq!(neighbor.row, row);
                assert!((f64::from(neighbor.similarity) - similarity).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_small_bank_gives_what_it_has_and_none_is_an_error() {
        let bank = [1.0, 0.0, 0.0, 2.0];
        let found = neighbors(&bank, &[3.0, 0.5], 2, 10).unwrap();
        assert_eq!(found[0].iter().map(|neighbor| neighbor.row).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(neighbors(&bank, &[], 2, 10).unwrap(), Vec::<Vec<Neighbor>>::new());
        assert_eq!(neighbors(&bank, &[1.0, 1.0], 2, 0).unwrap(), [vec![]]);
        assert_eq!(neighbors(&[], &[1.0, 1.0], 2, 1), Err(KnnError::NoImages));
        assert_eq!(neighbors(&bank, &[f32::NAN, 1.0], 2, 1), Err(KnnError::NotFinite));
    }
}
