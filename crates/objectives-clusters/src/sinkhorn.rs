//! Assignments that use all clusters alike.

/// Soft assignments of rows to clusters, from scores `(N, K)`: `exp(scores / epsilon)`, scaled in turn so that all clusters
/// have as much and each row has 1 (Sinkhorn's algorithm; Caron et al. 2020, arXiv:2006.09882, §3.1).
///
/// In float64 and from the largest score down, so that no exponential is too large. A cluster that no row has anything of
/// stays empty.
pub(crate) fn assignments(scores: &[f32], n_clusters: usize, iterations: usize, epsilon: f64) -> Vec<f64> {
    let n = scores.len() / n_clusters;
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let share = |score: &f32| ((f64::from(*score) - f64::from(largest)) / epsilon).exp();
    let mut shares: Vec<f64> = scores.iter().map(share).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share *= n as f64 / sum);
    for _ in 0..iterations {
        let mut of_clusters = vec![0.0; n_clusters];
        for row in shares.chunks(n_clusters) {
            of_clusters.iter_mut().zip(row).for_each(|(sum, share)| *sum += share);
        }
        for row in shares.chunks_mut(n_clusters) {
            for (share, sum) in row.iter_mut().zip(&of_clusters) {
                *share = divided(*share, *sum);
            }
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|share| *share = divided(*share, sum));
        }
    }
    shares
}

/// Nothing of nothing is nothing.
fn divided(share: f64, sum: f64) -> f64 {
    if sum > 0.0 { share / sum } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 12] = [0.9, 0.1, -0.3, 0.8, 0.2, -0.1, 0.95, 0.0, 0.3, 0.7, 0.4, -0.2];

    #[test]
    fn rows_have_1_and_clusters_as_much_as_each_other() {
        let shares = assignments(&SCORES, 3, 200, 0.05);
        for row in shares.chunks(3) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{row:?}");
        }
        for cluster in 0..3 {
            let sum: f64 = shares.iter().skip(cluster).step_by(3).sum();
            assert!((sum - 4.0 / 3.0).abs() < 1e-6, "{sum}");
        }
    }

    #[test]
    fn scores_that_no_exponential_can_hold_are_assigned_all_the_same() {
        let scaled: Vec<f32> = SCORES.iter().map(|score| 1000.0 * score).collect();
        let shares = assignments(&scaled, 3, 3, 1e-3);
        assert!(shares.iter().all(|share| share.is_finite()), "{shares:?}");
    }

    #[test]
    fn without_iterations_nothing_is_evened_out() {
        let shares = assignments(&[0.0, 0.0, 1.0, 1.0], 2, 0, 1.0);
        let e = 1.0_f64.exp();
        for (share, expected) in shares.iter().zip([1.0, 1.0, e, e]) {
            assert!((share - expected / (1.0 + e)).abs() < 1e-12, "{shares:?}");
        }
    }
}
