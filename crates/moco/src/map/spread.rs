//! A choice of images.

/// At most `most` of `0..n`, evenly spaced, in order.
pub fn spread(n: usize, most: usize) -> Vec<usize> {
    let count = most.min(n);
    (0..count).map(|i| i * n / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_spread_evenly() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(2, 4), [0, 1]);
        assert_eq!((spread(0, 4), spread(4, 0)), (vec![], vec![]));
    }
}
