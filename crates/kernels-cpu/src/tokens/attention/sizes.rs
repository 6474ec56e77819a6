//! How one image's heads lie in memory.

use std::ops::Range;

use crate::{cut::in_parts, simd::Family};

/// Queries whose logits exist at a time, at most.
const MAX_QUERIES: usize = 96;

/// The sizes of one image.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Tokens.
    pub t: usize,
    /// Heads.
    pub heads: usize,
    /// Features of a head.
    pub dh: usize,
}

impl Sizes {
    /// Features of all heads.
    pub fn d(self) -> usize {
        self.heads * self.dh
    }

    /// Features of queries, keys and values.
    pub fn width(self) -> usize {
        3 * self.d()
    }

    /// Images that `len` values of queries, keys and values are of.
    pub(super) fn n_images(self, len: usize) -> usize {
        let of_image = self.t * self.width();
        assert!(len.is_multiple_of(of_image), "images are whole");
        len / of_image
    }

    /// Where queries, keys and values of a head start in a token.
    pub(super) fn starts(self, head: usize) -> [usize; 3] {
        [0, 1, 2].map(|part| part * self.d() + head * self.dh)
    }

    /// The queries, cut into blocks of nearly the same length.
    pub(super) fn query_blocks(self) -> impl Iterator<Item = Range<usize>> {
        in_parts(self.t, self.t.div_ceil(MAX_QUERIES))
    }

    /// Queries in a block at most.
    pub(super) fn max_block(self) -> usize {
        self.query_blocks().map(|block| block.len()).max().unwrap_or(0)
    }

    /// Keys, rounded up to panels.
    pub(super) fn padded_keys(self, panel: usize) -> usize {
        self.t.next_multiple_of(panel)
    }

    /// Features of a head, rounded up to panels.
    pub(super) fn padded_features(self, panel: usize) -> usize {
        self.dh.next_multiple_of(panel)
    }

    /// Whether products of bfloat16 are of pairs.
    pub(super) fn multiplies_pairs(self, family: Family) -> bool {
        family.multiplies_pairs() && self.dh.is_multiple_of(2)
    }
}
