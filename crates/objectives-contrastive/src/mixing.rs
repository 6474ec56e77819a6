//! Negatives that are mixed of the hardest ones (Kalantidis et al. 2020, arXiv:2010.01028, §4).

use plugin_api::Rng;
use rayon::prelude::*;
use tensor_ops::{Features, OpError, Rows as _, custom};

/// How many negatives are mixed for each query, and of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mixing {
    /// Past keys that are mixed: those most like the query.
    pub(crate) hardest: usize,
    /// Mixes of two of them.
    pub(crate) of_pairs: usize,
    /// Mixes of one of them and the query.
    pub(crate) with_query: usize,
}

/// A mixed negative `m` of one query `q`, by what the query has for it: `q · m = constant + Σ weight (q · key)`. Its length
/// has gone into the numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mixed {
    constant: f32,
    /// Positions of past keys, and their weights; the second may weigh nothing.
    keys: [(usize, f32); 2],
}

/// The cosines of queries with negatives that are mixed for each, `(N, of_pairs + with_query)`, from their `cosines` with
/// past keys, `(N, K)`, and the `keys`, `(K, D)`, all of unit length.
///
/// A mixed negative is a vector of unit length that no gradient passes into. So it is linear in the cosines: a mix of two
/// keys is `α n + (1 - α) n'` over its length, with α uniform in [0, 1); one with the query is `β q + (1 - β) n` over its
/// length, with β uniform in [0, 1/2). The query in a mix is a fixed copy. Its product with the query is 1, and has no
/// gradient in a query of unit length.
pub(crate) fn mixed(
    cosines: Features,
    keys: &[f32],
    mixing: Mixing,
    draws: impl Fn(usize) -> Rng + Sync,
) -> Result<Features, OpError> {
    let ((n, n_keys), values) = ((cosines.n(), cosines.d()), cosines.rows());
    let n_mixed = mixing.of_pairs + mixing.with_query;
    let of_row = |(row, cosines): (usize, &[f32])| mix(cosines, keys, mixing, &mut draws(row));
    let all: Vec<Mixed> = values.par_chunks(n_keys).enumerate().flat_map_iter(of_row).collect();
    let of = |(place, mixed): (usize, &Mixed)| {
        let row = &values[place / n_mixed * n_keys..][..n_keys];
        mixed.keys.iter().fold(mixed.constant, |sum, (key, weight)| sum + weight * row[*key])
    };
    let rows = all.iter().enumerate().map(of).collect();
    let backward = move |gradient: &[f32]| {
        let mut in_cosines = vec![0.0; n * n_keys];
        for (place, (mixed, gradient)) in all.iter().zip(gradient).enumerate() {
            let row = &mut in_cosines[place / n_mixed * n_keys..][..n_keys];
            for (key, weight) in mixed.keys {
                row[key] += weight * gradient;
            }
        }
        vec![in_cosines]
    };
    custom(vec![cosines], (n, n_mixed), rows, backward)
}

/// The negatives of one query.
fn mix(cosines: &[f32], keys: &[f32], mixing: Mixing, draws: &mut Rng) -> Vec<Mixed> {
    let width = keys.len() / cosines.len();
    let key = |place: usize| &keys[place * width..][..width];
    let hardest = hardest(cosines, mixing.hardest);
    let any = |draws: &mut Rng| hardest[draws.below(hardest.len())];
    let mut all = Vec::with_capacity(mixing.of_pairs + mixing.with_query);
    for _ in 0..mixing.of_pairs {
        let (first, second, share) = (any(draws), any(draws), draws.unit() as f32);
        let cosine = key(first).iter().zip(key(second)).map(|(a, b)| a * b).sum();
        let scale = 1.0 / length(share, cosine);
        all.push(Mixed { constant: 0.0, keys: [(first, scale * share), (second, scale * (1.0 - share))] });
    }
    for _ in 0..mixing.with_query {
        let (place, share) = (any(draws), draws.uniform(0.0, 0.5) as f32);
        let scale = 1.0 / length(share, cosines[place]);
        all.push(Mixed { constant: scale * share, keys: [(place, scale * (1.0 - share)), (place, 0.0)] });
    }
    all
}

/// The length of `share a + (1 - share) b`, for `a` and `b` of unit length.
fn length(share: f32, cosine: f32) -> f32 {
    /// Opposite keys may mix to nothing, which has no direction.
    const LEAST: f32 = 1e-6;
    let other = 1.0 - share;
    (share * share + other * other + 2.0 * share * other * cosine).max(0.0).sqrt().max(LEAST)
}

/// The positions of the `n` largest cosines, in the order of positions; of equal ones the first.
fn hardest(cosines: &[f32], n: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..cosines.len()).collect();
    if n < places.len() {
        places.select_nth_unstable_by(n, |a, b| cosines[*b].total_cmp(&cosines[*a]).then(a.cmp(b)));
        places.truncate(n);
        places.sort_unstable();
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [f32; 8] = [1.0, 0.0, 0.0, 1.0, 0.6, 0.8, -1.0, 0.0];

    #[test]
    fn the_hardest_are_those_most_alike_and_of_equal_ones_the_first() {
        let cosines = [0.1, 0.9, -0.3, 0.9, 0.5, 0.9];
        assert_eq!(hardest(&cosines, 2), [1, 3]);
        assert_eq!(hardest(&cosines, 4), [1, 3, 4, 5]);
        assert_eq!(hardest(&cosines, 6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(hardest(&cosines, 60).len(), 6);
    }

    #[test]
    fn mixes_are_of_the_hardest_alone_and_of_unit_length() {
        let query = [0.28_f32, 0.96];
        let cosines: Vec<f32> = KEYS.chunks(2).map(|key| key[0] * query[0] + key[1] * query[1]).collect();
        let mixing = Mixing { hardest: 2, of_pairs: 50, with_query: 50 };
        let all = mix(&cosines, &KEYS, mixing, &mut Rng::new(1, "mixes", &[]));
        assert_eq!(all.len(), 100);
        for (place, mixed) in all.iter().enumerate() {
            // The vector itself, and not only its product with the query.
            let mut vector = [mixed.constant * query[0], mixed.constant * query[1]];
            for (key, weight) in mixed.keys {
                assert!(key == 1 || key == 2, "{mixed:?}");
                vector[0] += weight * KEYS[2 * key];
                vector[1] += weight * KEYS[2 * key + 1];
            }
            let length = vector[0].hypot(vector[1]);
            assert!((length - 1.0).abs() < 1e-5, "{mixed:?}");
            assert_eq!(mixed.constant > 0.0, place >= 50, "{mixed:?}");
            let share_of_query = mixed.constant / (mixed.constant + mixed.keys[0].1);
            assert!(place < 50 || share_of_query < 0.5, "{mixed:?}");
        }
    }

    #[test]
    fn opposite_keys_give_finite_numbers() {
        for share in [0.5, 0.49999997] {
            assert!((1.0 / length(share, -1.0)).is_finite());
        }
    }
}
