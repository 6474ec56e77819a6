//! How many values a shape has.

use std::fmt::Debug;

use crate::OpError;

/// The product of the sizes; `None` if there is no such number.
pub(crate) fn checked_len(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_usize, |len, &size| len.checked_mul(size))
}

/// Refuses another number of values than a shape has.
pub(crate) fn check_len(
    op: &'static str,
    what: &'static str,
    shape: &[usize],
    n_values: usize,
) -> Result<(), OpError> {
    match checked_len(shape) {
        Some(len) if len == n_values => Ok(()),
        Some(len) => Err(OpError::shape(op, what, len, n_values)),
        None => Err(too_large(op, "shape", shape)),
    }
}

/// The error where [`checked_len`] has no number.
pub(crate) fn too_large(op: &'static str, what: &'static str, shape: impl Debug) -> OpError {
    OpError::value(op, what, shape, "it has more values than can be counted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_the_product_of_the_sizes_or_none() {
        assert_eq!(checked_len(&[]), Some(1));
        assert_eq!(checked_len(&[2, 3, 4]), Some(24));
        assert_eq!(checked_len(&[usize::MAX]), Some(usize::MAX));
        assert_eq!(checked_len(&[1 << 32, 1 << 32]), None);
        assert_eq!(checked_len(&[1 << 32, 1 << 32, 0]), Some(0));
        assert_eq!(checked_len(&[usize::MAX, 2, 2]), None);
    }

    #[test]
    fn a_number_of_values_that_is_another_is_refused() {
        let message =
            |shape: &[usize], n| check_len("op", "number of values", shape, n).unwrap_err().to_string();
        assert_eq!(check_len("op", "number of values", &[2, 3], 6), Ok(()));
        assert_eq!(message(&[2, 3], 5), "op: number of values must be 6, got 5");
        assert_eq!(
            message(&[1 << 32, 1 << 32], 0),
            "op: shape is [4294967296, 4294967296], but it has more values than can be counted"
        );
    }
}
