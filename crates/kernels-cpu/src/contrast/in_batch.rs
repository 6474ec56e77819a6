//! InfoNCE against the keys of the other images of the batch.

use super::{Contrast, Setting, softmax::Comparison};
use crate::simd::Family;

/// The cross-entropy of each query's own key among all keys.
///
/// `queries`: `(N, C)`. `keys`: `(M, C)`; the positive of query `i` is key `first + i`. Logits are `(N, M)`.
///
/// # Panics
///
/// When a positive is not among the keys, or rows are not whole.
pub fn in_batch(
    family: Family,
    (queries, c): (&[f32], usize),
    keys: &[f32],
    first: usize,
    setting: Setting,
) -> Contrast {
    assert!(queries.len().is_multiple_of(c) && keys.len().is_multiple_of(c), "rows are whole");
    let comparison = Comparison { family, queries, keys, c, first: Some(first), setting };
    let compared = comparison.run();
    let positives = compared.positives();
    compared.finish(&positives, &keys[first * c..][..queries.len()])
}
