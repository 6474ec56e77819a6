//! Groups of features.

use plugin_api::Rng;
use rayon::prelude::*;

use super::{MapError, unit_rows};

/// Rounds of moving the centers at the most.
const MOST_ROUNDS: usize = 100;

/// The group of each of `rows`, `(N, D)`, brought to unit length: `0..k`, with at most `N` groups, numbered by their size, the
/// largest first.
///
/// Lloyd's algorithm from centers that k-means++ draws by `seed` (Arthur and Vassilvitskii 2007).
///
/// # Errors
/// If there are no rows, or a feature is not finite.
///
/// # Panics
/// If `k` is 0, or the values are not a multiple of `d`.
pub fn k_means(rows: &[f32], d: usize, k: usize, seed: u64) -> Result<Vec<usize>, MapError> {
    let unit = unit_rows(rows, d)?;
    assert!(k > 0 && unit.len().is_multiple_of(d), "there are groups, and features are whole rows of {d}");
    let k = k.min(unit.len() / d);
    let mut centers = first_centers(&unit, d, k, seed);
    let mut groups = nearest_centers(&unit, &centers, d);
    for _ in 0..MOST_ROUNDS {
        move_centers(&unit, d, &groups, &mut centers);
        let now = nearest_centers(&unit, &centers, d);
        if now == groups {
            break;
        }
        groups = now;
    }
    Ok(by_size(&groups, k))
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Each center is a row, drawn with a probability that grows with the square of its distance to those before.
fn first_centers(rows: &[f64], d: usize, k: usize, seed: u64) -> Vec<f64> {
    let n = rows.len() / d;
    let mut rng = Rng::new(seed, "centers of clusters", &[]);
    let mut centers = rows[rng.below(n) * d..][..d].to_vec();
    let mut away = vec![f64::INFINITY; n];
    while centers.len() < k * d {
        let newest = centers[centers.len() - d..].to_vec();
        away.par_iter_mut().zip(rows.par_chunks_exact(d)).for_each(|(away, row)| {
            *away = away.min(distance(row, &newest));
        });
        let mut rest = rng.unit() * away.iter().sum::<f64>();
        let drawn = away.iter().position(|away| {
            rest -= away;
            rest < 0.0
        });
        let row = drawn.unwrap_or(n - 1);
        centers.extend_from_slice(&rows[row * d..][..d]);
    }
    centers
}

/// Ties go to the earlier center.
fn nearest_centers(rows: &[f64], centers: &[f64], d: usize) -> Vec<usize> {
    let nearest = |row: &[f64]| {
        let distances = centers.chunks_exact(d).map(|center| distance(row, center)).enumerate();
        distances
            .reduce(|best, other| if other.1 < best.1 { other } else { best })
            .map_or(0, |(center, _)| center)
    };
    rows.par_chunks_exact(d).map(nearest).collect()
}

/// To the mean of their rows, summed in order; a center without rows stays.
fn move_centers(rows: &[f64], d: usize, groups: &[usize], centers: &mut [f64]) {
    let k = centers.len() / d;
    let (mut sums, mut sizes) = (vec![0.0; k * d], vec![0_usize; k]);
    for (row, &group) in rows.chunks_exact(d).zip(groups) {
        sizes[group] += 1;
        sums[group * d..][..d].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    for (group, &size) in sizes.iter().enumerate().filter(|(_, size)| **size > 0) {
        let center = &mut centers[group * d..][..d];
        center.iter_mut().zip(&sums[group * d..]).for_each(|(center, sum)| *center = sum / size as f64);
    }
}

fn by_size(groups: &[usize], k: usize) -> Vec<usize> {
    let mut sizes = vec![0_usize; k];
    groups.iter().for_each(|group| sizes[*group] += 1);
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by_key(|group| (std::cmp::Reverse(sizes[*group]), *group));
    let mut numbers = vec![0; k];
    order.iter().enumerate().for_each(|(number, group)| numbers[*group] = number);
    groups.iter().map(|group| numbers[*group]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows around three directions: 30, 20 and 10 of them.
    fn three() -> Vec<f32> {
        let mut rng = Rng::new(1, "rows", &[]);
        let sizes = [30, 20, 10];
        let of = |group: usize, n: usize| (0..n).map(move |_| group);
        let groups = sizes.into_iter().enumerate().flat_map(|(group, n)| of(group, n));
        groups
            .flat_map(|group| (0..5).map(move |i| (group, i)))
            .map(|(group, i)| 3.0 * f32::from(group == i) + 0.2 * rng.normal() as f32)
            .collect()
    }

    #[test]
    fn groups_that_lie_apart_are_found_and_numbered_by_size() {
        for seed in 0..20 {
            let groups = k_means(&three(), 5, 3, seed).unwrap();
            let expected: Vec<usize> = [vec![0; 30], vec![1; 20], vec![2; 10]].concat();
            assert_eq!(groups, expected, "seed {seed}");
        }
    }

    #[test]
    fn more_groups_than_rows_and_equal_rows_are_no_trouble() {
        assert_eq!(k_means(&[1.0, 0.0, 0.0, 1.0], 2, 9, 0).unwrap().len(), 2);
        assert_eq!(k_means(&[1.0; 12], 2, 3, 0).unwrap(), [0; 6]);
        assert_eq!(k_means(&[], 2, 3, 0), Err(MapError::Empty));
    }
}
