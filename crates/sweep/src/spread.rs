//! Statistics over seeds.

/// Mean and spread of a few numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) mean: f64,
    /// The sample standard deviation; `None` for a single number.
    pub(super) deviation: Option<f64>,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` without numbers.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self {
            mean,
            deviation: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
            min: values.iter().copied().reduce(f64::min)?,
            max: values.iter().copied().reduce(f64::max)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_that_of_a_sample() {
        let spread = Spread::of(&[1.0, 2.0, 4.0, 5.0]).unwrap();
        // statistics.stdev([1, 2, 4, 5])
        assert!((spread.deviation.unwrap() - 1.825_741_858).abs() < 1e-9);
        assert_eq!((spread.mean, spread.min, spread.max), (3.0, 1.0, 5.0));
        assert_eq!(Spread::of(&[2.0]).unwrap().deviation, None);
        assert_eq!(Spread::of(&[]), None);
    }
}
