//! Channels of mean 0 and variance 1.

use tensor_ops::{Features, OpError, Rows as _, custom};

/// Added to a variance: PyTorch's, in batch norm.
const EPS: f64 = 1e-5;

/// Each channel with mean 0 and variance 1 over the batch, `(N, D)`, as by batch norm in training without scale and shift.
///
/// In float64 both ways: in a small batch a gradient is what little is left of large terms.
pub(crate) fn standardized(x: Features) -> Result<Features, OpError> {
    let (shape, rows) = ((x.n(), x.d()), x.rows());
    let channels = Channels::of(&rows, shape);
    let output = channels.standard.iter().map(|value| *value as f32).collect();
    custom(vec![x], shape, output, move |gradient| vec![channels.gradient(gradient)])
}

struct Channels {
    shape: (usize, usize),
    /// `(N, D)`.
    standard: Vec<f64>,
    /// What each channel was divided by.
    deviations: Vec<f64>,
}

impl Channels {
    fn of(rows: &[f32], shape: (usize, usize)) -> Self {
        let (n, d) = shape;
        let means = means(rows.iter().map(|value| f64::from(*value)), shape);
        let mut standard: Vec<f64> =
            rows.iter().enumerate().map(|(i, value)| f64::from(*value) - means[i % d]).collect();
        let mut deviations = vec![0.0; d];
        standard.iter().enumerate().for_each(|(i, value)| deviations[i % d] += value * value / n as f64);
        deviations.iter_mut().for_each(|variance| *variance = (*variance + EPS).sqrt());
        standard.iter_mut().enumerate().for_each(|(i, value)| *value /= deviations[i % d]);
        Self { shape, standard, deviations }
    }

    /// That of the input, from that of the output: less its mean and its part along the output, over the deviation.
    fn gradient(&self, gradient: &[f32]) -> Vec<f32> {
        let d = self.shape.1;
        let along = gradient.iter().zip(&self.standard).map(|(g, y)| f64::from(*g) * y);
        let along = means(along, self.shape);
        let mean = means(gradient.iter().map(|g| f64::from(*g)), self.shape);
        let of_input = |(i, (g, y)): (usize, (&f32, &f64))| {
            ((f64::from(*g) - mean[i % d] - y * along[i % d]) / self.deviations[i % d]) as f32
        };
        gradient.iter().zip(&self.standard).enumerate().map(of_input).collect()
    }
}

/// Of each channel of values `(N, D)`.
fn means(values: impl Iterator<Item = f64>, (n, d): (usize, usize)) -> Vec<f64> {
    let mut means = vec![0.0; d];
    values.enumerate().for_each(|(i, value)| means[i % d] += value);
    means.iter_mut().for_each(|mean| *mean /= n as f64);
    means
}

#[cfg(test)]
mod tests {
    use loss_parity::noise;
    use tensor_ops::{check_gradient, constant, weighted_sum};

    use super::*;

    #[test]
    fn channels_have_mean_0_and_variance_1() {
        let rows = standardized(constant(&noise(1, (64, 3)).unwrap())).unwrap().rows();
        for channel in 0..3 {
            let values = || rows.iter().skip(channel).step_by(3);
            let (mean, square) = (values().sum::<f32>() / 64.0, values().map(|v| v * v).sum::<f32>() / 64.0);
            assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-4, "{mean} {square}");
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        let x = noise(1, (5, 2)).unwrap();
        let weights: Vec<f32> = (0..10).map(|i| (i as f32 * 1.7).sin()).collect();
        let check = check_gradient(|mut x| weighted_sum(standardized(x.remove(0))?, &weights), &[x]).unwrap();
        assert!(check.largest_error < 0.01, "{check:?}");
    }
}
