//! Fewer points that look the same.

/// At most `most` of `points`, which go from left to right: the first and the last, and of each stretch between them the least
/// and the largest. What is not finite counts as the least of its stretch, so that a gap stays one.
pub fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let most = most.max(4);
    if points.len() <= most {
        return points.to_vec();
    }
    let (first, last) = (points[0], points[points.len() - 1]);
    let inner = &points[1..points.len() - 1];
    let n_stretches = (most - 2) / 2;
    let mut kept = vec![first];
    for stretch in 0..n_stretches {
        let from = stretch * inner.len() / n_stretches;
        let to = (stretch + 1) * inner.len() / n_stretches;
        let places = from..to;
        let value = |place: &usize| match inner[*place].1 {
            value if value.is_finite() => value,
            _ => f64::NEG_INFINITY,
        };
        let least = places.clone().min_by(|a, b| value(a).total_cmp(&value(b)));
        let largest = places.max_by(|a, b| value(a).total_cmp(&value(b)));
        let (Some(least), Some(largest)) = (least, largest) else { continue };
        kept.push(inner[least.min(largest)]);
        if least != largest {
            kept.push(inner[least.max(largest)]);
        }
    }
    kept.push(last);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_and_the_extremes_stay() {
        let mut points: Vec<(f64, f64)> = (0..20_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        points[7777].1 = 99.0;
        points[12_345].1 = -5.0;
        let thin = thinned(&points, 1000);
        assert!(thin.len() <= 1000 && thin.len() > 900, "{}", thin.len());
        assert_eq!((thin[0], thin[thin.len() - 1]), (points[0], points[19_999]));
        assert!(thin.contains(&points[7777]) && thin.contains(&points[12_345]));
        assert!(thin.windows(2).all(|pair| pair[0].0 < pair[1].0), "from left to right");
    }

    #[test]
    fn few_points_all_stay_and_a_gap_stays_a_gap() {
        let few = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)];
        assert_eq!(thinned(&few, 1000).len(), 3);
        let mut many: Vec<(f64, f64)> = (0..5000).map(|i| (f64::from(i), 1.0)).collect();
        many[2500].1 = f64::NAN;
        assert!(thinned(&many, 100).iter().any(|point| point.1.is_nan()));
    }
}
