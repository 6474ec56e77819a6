//! InfoNCE against a queue of negatives.

use super::{Contrast, Setting, softmax::Comparison};
use crate::simd::Family;

/// Queries whose positives are found together.
const QUERIES_AT_ONCE: usize = 64;

/// The cross-entropy of each query's own key among the keys of a queue.
///
/// `queries`, `keys`: `(N, C)`, the positive of row `i` being row `i`. `queue`: `(K, C)`. Logits are `(N, 1 + K)`, the
/// positive first.
///
/// # Panics
///
/// When rows are not whole, or there is not a key for each query.
pub fn against_queue(
    family: Family,
    (queries, c): (&[f32], usize),
    keys: &[f32],
    queue: &[f32],
    setting: Setting,
) -> Contrast {
    assert!(queries.len().is_multiple_of(c) && queue.len().is_multiple_of(c), "rows are whole");
    assert_eq!(queries.len(), keys.len(), "each query has a key of its own");
    let positives = positives(family, queries, keys, c);
    let comparison = Comparison { family, queries, keys: queue, c, first: None, setting };
    let mut contrast = comparison.run().finish(&positives, keys);
    contrast.logits = contrast.logits.map(|negatives| {
        let inv_temperature = 1.0 / setting.temperature;
        let rows = positives.iter().zip(negatives.chunks_exact(queue.len() / c));
        rows.flat_map(|(positive, row)| {
            std::iter::once(positive * inv_temperature).chain(row.iter().copied())
        })
        .collect()
    });
    contrast
}

/// The product of each query and its own key, summed up as those with the queue's are: a key that is in the queue too is a tie.
fn positives(family: Family, queries: &[f32], keys: &[f32], c: usize) -> Vec<f32> {
    let setting = Setting { temperature: 1.0, wants_gradient: false, keeps_logits: false };
    let blocks = queries.chunks(QUERIES_AT_ONCE * c).zip(keys.chunks(QUERIES_AT_ONCE * c));
    blocks
        .flat_map(|(queries, keys)| {
            Comparison { family, queries, keys, c, first: Some(0), setting }.run().positives()
        })
        .collect()
}
