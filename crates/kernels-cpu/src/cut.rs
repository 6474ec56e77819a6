//! How a length is cut into parts. No cut depends on the machine, because sums of parts would.

use std::ops::Range;

/// Tasks to cut work into, if there is enough of it: more than most machines have cores.
pub(crate) const MANY_TASKS: usize = 64;

/// `0..len` in so many parts of nearly the same length.
pub(crate) fn in_parts(len: usize, n: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).map(move |part| len * part / n..len * (part + 1) / n)
}

/// `0..len` in parts of nearly the same length: `max` at most but for rounding up to a multiple of `multiple`. Where that is `max`
/// itself, all parts but the last are as long as it.
pub(crate) fn of_at_most(len: usize, max: usize, multiple: usize) -> Vec<Range<usize>> {
    let width = len.div_ceil(len.div_ceil(max).max(1)).next_multiple_of(multiple);
    (0..len).step_by(width.max(1)).map(|first| first..len.min(first + width)).collect()
}

/// The lengths of the parts of `0..len` that are `width` long, but for the last.
pub(crate) fn lens(len: usize, width: usize) -> Vec<usize> {
    (0..len).step_by(width).map(|first| width.min(len - first)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_to_the_end() {
        for len in [0, 1, 7, 64, 130, 1000] {
            let cuts = [
                in_parts(len, 7).collect(),
                of_at_most(len, 128, 1),
                of_at_most(len, 100, 24),
                of_at_most(len, 128, 128),
            ];
            for parts in cuts {
                let end = parts.iter().fold(0, |end, part| {
                    assert_eq!(part.start, end);
                    part.end
                });
                assert_eq!(end, len);
            }
            assert_eq!(lens(len, 48).iter().sum::<usize>(), len);
        }
    }

    #[test]
    fn parts_have_the_lengths_that_are_asked_for() {
        assert_eq!(in_parts(10, 4).collect::<Vec<_>>(), [0..2, 2..5, 5..7, 7..10]);
        assert_eq!(of_at_most(130, 128, 1), [0..65, 65..130]);
        assert_eq!(of_at_most(130, 128, 24), [0..72, 72..130]);
        assert_eq!(of_at_most(130, 128, 128), [0..128, 128..130]);
        assert_eq!(lens(130, 64), [64, 64, 2]);
    }
}
