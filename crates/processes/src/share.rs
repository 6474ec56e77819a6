//! What of a list each process has.

use std::ops::Range;

/// The places of a list of `len` that process `rank` of `n` has: consecutive ones, the first processes one more where it does
/// not come out even.
pub fn share(len: usize, rank: usize, n: usize) -> Range<usize> {
    let start = |rank: usize| rank * (len / n) + rank.min(len % n);
    start(rank)..start(rank + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_each_other_and_differ_by_one_at_most() {
        for (len, n) in [(0, 3), (1, 3), (10, 4), (12, 4), (7, 1)] {
            let shares: Vec<_> = (0..n).map(|rank| share(len, rank, n)).collect();
            assert_eq!(shares.iter().cloned().flatten().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
            assert!(shares.iter().all(|share| share.len() == len / n || share.len() == len / n + 1));
        }
    }
}
