//! How far keys have moved since they were made.

use crate::normalize::unit_rows;

/// How far keys made anew lie from those that were kept: 1 - cosine, averaged over the rows.
///
/// 0 if all have their direction still, 1 if they are at right angles, at most 2. `kept` and `anew`: `(N, D)`, row for row, of
/// any length; NaN without rows.
pub fn key_drift(kept: &[f32], anew: &[f32], d: usize) -> f64 {
    let (kept, anew) = (unit_rows(kept, d), unit_rows(anew, d));
    // Half the squared distance of unit vectors is 1 - cosine, and exact where they are nearly the same.
    let squares = kept.iter().zip(&anew).map(|(kept, anew)| f64::from(kept - anew).powi(2));
    squares.sum::<f64>() / 2.0 / (kept.len() as f64 / d as f64)
}

/// By how much keys tell their age: how much more alike keys of the newest step are to other keys of that step than to keys of
/// an older one, by their mean cosines.
///
/// About 0 where keys of all ages lie alike. What is more makes every older negative easier than it would be today, by so much
/// over the temperature in nats. `newest` and `older`: `(N, D)` and `(M, D)`, of any length; NaN for fewer than two newest.
pub fn key_age_gap(newest: &[f32], older: &[f32], d: usize) -> f64 {
    let (n, sum) = sum_of_units(newest, d);
    let (m, older) = sum_of_units(older, d);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // The square of a sum of unit vectors has each with itself, n times 1, and each pair twice.
    let among_newest = (dot(&sum, &sum) - n) / (n * (n - 1.0));
    among_newest - dot(&sum, &older) / (n * m)
}

/// The number of rows, and the sum of their unit vectors.
fn sum_of_units(rows: &[f32], d: usize) -> (f64, Vec<f64>) {
    let mut sum = vec![0.0; d];
    for row in unit_rows(rows, d).chunks_exact(d) {
        sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    (rows.len() as f64 / d as f64, sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-6, "{value}, expected {expected}");
    }

    #[test]
    fn drift_is_one_less_the_cosine_whatever_the_lengths() {
        // 30 and 60 degrees away, and not at all.
        let (half, root) = (0.5, 0.75_f32.sqrt());
        let kept = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let anew = [2.0 * root, 2.0 * half, 0.1 * half, 0.1 * root, 0.0, 7.0];
        assert_near(key_drift(&kept, &anew, 2), ((1.0 - 0.75_f64.sqrt()) + 0.5) / 3.0);
        assert_near(key_drift(&kept, &kept.map(|value| -value), 2), 2.0);
        assert!(key_drift(&[0.3, 0.4], &[0.6, 0.8], 2) < 1e-12);
    }

    #[test]
    fn keys_of_all_ages_that_lie_alike_do_not_tell_their_age() {
        let newest = [1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, -1.0];
        let older: Vec<f32> = newest.repeat(3);
        // Four directions that add up to nothing: a pair has a mean cosine of -1/3, and 0 with those of the older step.
        assert_near(key_age_gap(&newest, &older, 2), -1.0 / 3.0);
    }

    #[test]
    fn keys_that_have_moved_on_together_tell_their_age() {
        // The newest all lie along one axis and the older ones along the other.
        let newest = [3.0_f32, 0.0].repeat(5);
        let older = [0.0_f32, 0.2].repeat(9);
        assert_near(key_age_gap(&newest, &older, 2), 1.0);
        assert_near(key_age_gap(&newest, &newest, 2), 0.0);
    }
}
