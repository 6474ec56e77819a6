//! Where the last of many places ends.

/// Whether `len` values have room among `available`, from the place on that is `n * distance` further for each `(n, distance)`.
///
/// Numbers that are too large for a `usize` have no room. They would wrap otherwise, in the programs that are fast, and end
/// far inside of what they are far beyond.
#[inline(always)]
pub(crate) fn has_room<const N: usize>(steps: [(usize, usize); N], len: usize, available: usize) -> bool {
    let end = steps.into_iter().try_fold(len, |end, (n, distance)| end.checked_add(n.checked_mul(distance)?));
    end.is_some_and(|end| end <= available)
}

#[cfg(test)]
mod tests {
    use super::has_room;

    #[test]
    fn the_last_place_ends_at_most_where_all_end() {
        assert!(has_room([(3, 5), (2, 10)], 4, 39));
        assert!(!has_room([(3, 5), (2, 10)], 4, 38));
        assert!(has_room([], 7, 7) && !has_room([], 8, 7));
    }

    #[test]
    fn what_is_too_large_for_a_number_has_no_room() {
        assert!(!has_room([(1 << 63, 2)], 0, 100));
        assert!(!has_room([(1, usize::MAX)], 2, 100));
        assert!(!has_room([(1, usize::MAX / 2), (1, usize::MAX / 2)], 4, 100));
    }
}
