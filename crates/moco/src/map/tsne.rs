//! t-SNE (van der Maaten and Hinton 2008) in the form that is quick for thousands of points (van der Maaten 2014).

use bhtsne::tSNE;
use rayon::ThreadPoolBuilder;

use super::{MapError, principal_components};

/// Neighbors that count, with a few more: the published default.
const PERPLEXITY: usize = 30;
/// How exact the forces between far points are; smaller is more exact.
const THETA: f64 = 0.5;
/// The spread of the first places along the wider axis, as small as those that are drawn at random usually are.
const FIRST_SPREAD: f64 = 1e-4;

/// A place for each of `rows`, `(N, D)`: near to each other where rows are neighbors by cosine similarity. Distances between
/// groups, and how dense they are, mean nothing.
///
/// It starts from the principal components (Kobak and Berens 2019), for which `seed` draws, and draws nothing else. It computes
/// on one thread, because sums over several would depend on their number. Fewer than five rows have their principal components.
///
/// # Errors
/// If there are no rows, a feature is not finite, or places cannot be found.
///
/// # Panics
/// If the values are not a multiple of `d`.
pub fn t_sne(rows: &[f32], d: usize, seed: u64) -> Result<Vec<[f64; 2]>, MapError> {
    let components = principal_components(rows, d, 2, seed)?;
    let first: Vec<[f64; 2]> = components
        .places
        .chunks_exact(components.k)
        .map(|row| [row[0], row.get(1).copied().unwrap_or(0.0)])
        .collect();
    let n = first.len();
    let perplexity = PERPLEXITY.min((n - 1) / 3);
    if n < 5 || perplexity == 0 {
        return Ok(first);
    }
    let neighbors = neighbors(rows, d, 3 * perplexity)?;
    let widest = first.iter().map(|place| place[0] * place[0]).sum::<f64>() / n as f64;
    let scale = if widest > 0.0 { FIRST_SPREAD / widest.sqrt() } else { 0.0 };
    let start: Vec<f64> = first.iter().flatten().map(|place| place * scale).collect();
    let compute = || {
        let points = vec![(); n];
        let mut t_sne: tSNE<'_, f64, ()> = tSNE::new(&points);
        t_sne
            .perplexity(perplexity as f64)
            .initial_embedding(start)
            .barnes_hut_with_neighbors(THETA, &neighbors);
        t_sne.embedding()
    };
    let places = match ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(compute),
        Err(_) => return Err(MapError::Lost),
    };
    if !places.iter().all(|place| place.is_finite()) {
        return Err(MapError::Lost);
    }
    Ok(places.chunks_exact(2).map(|place| [place[0], place[1]]).collect())
}

/// The `k` nearest other rows of each, with their distances on the unit sphere.
fn neighbors(rows: &[f32], d: usize, k: usize) -> Result<Vec<Vec<bhtsne::Neighbor<f64>>>, MapError> {
    let found = evaluate::neighbors(rows, rows, d, k + 1).map_err(|_| MapError::NotFinite)?;
    let others = |(row, found): (usize, Vec<evaluate::Neighbor>)| {
        let others = found.into_iter().filter(|neighbor| neighbor.row != row).take(k);
        others
            .map(|neighbor| {
                let distance = (2.0 - 2.0 * f64::from(neighbor.similarity)).max(0.0).sqrt();
                bhtsne::Neighbor { index: neighbor.row, distance }
            })
            .collect()
    };
    Ok(found.into_iter().enumerate().map(others).collect())
}

#[cfg(test)]
mod tests {
    use plugin_api::Rng;

    use super::*;

    fn groups(n: usize) -> Vec<f32> {
        let mut rng = Rng::new(1, "rows", &[]);
        let rows = (0..n).flat_map(|row| (0..6).map(move |i| (row % 3, i)));
        rows.map(|(group, i)| 3.0 * f32::from(group == i) + 0.3 * rng.normal() as f32).collect()
    }

    #[test]
    fn groups_lie_apart_and_the_same_seed_gives_the_same_bits() {
        let rows = groups(120);
        let places = t_sne(&rows, 6, 0).unwrap();
        let distance = |a: usize, b: usize| {
            let [dx, dy] = [0, 1].map(|axis| places[a][axis] - places[b][axis]);
            dx.hypot(dy)
        };
        // The nearest other point is nearly always one of the same group.
        let is_right = |row: &usize| {
            let others = (0..120).filter(|other| other != row);
            let nearest = others.min_by(|a, b| distance(*row, *a).total_cmp(&distance(*row, *b))).unwrap();
            nearest % 3 == row % 3
        };
        assert!((0..120).filter(is_right).count() > 115);
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| t_sne(&rows, 6, 0)).unwrap(), places);
    }

    #[test]
    fn few_rows_and_equal_rows_end() {
        for n in 1..12 {
            assert_eq!(t_sne(&groups(n), 6, 0).unwrap().len(), n);
        }
        let equal = t_sne(&[0.5; 60], 6, 0);
        assert!(equal == Err(MapError::Lost) || equal.is_ok_and(|places| places.len() == 10));
    }
}
