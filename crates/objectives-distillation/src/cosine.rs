//! The cosine of two rows, and its gradient.

/// What a length is at least where it divides: PyTorch's.
const LEAST: f64 = 1e-8;

/// The mean cosine of the rows of `x` and of `y`, `(N, D)`, row for row; its gradient in `x`, times `factor`, is added to
/// `gradient`.
///
/// In float64: cosines of either sign may leave next to nothing of their mean.
pub(crate) fn mean_cosine(x: &[f32], y: &[f32], width: usize, factor: f64, gradient: &mut [f64]) -> f64 {
    let n = x.len() / width;
    let rows = x.chunks(width).zip(y.chunks(width)).zip(gradient.chunks_mut(width));
    let cosines = rows.map(|((x, y), gradient)| {
        let (x_length, y_length) = (length(x).max(LEAST), length(y).max(LEAST));
        let cosine = dot(x, y) / (x_length * y_length);
        // A row that is too short to be divided by its length has no part of the gradient that keeps the length.
        let along = if x_length > LEAST { cosine / (x_length * x_length) } else { 0.0 };
        for ((gradient, x), y) in gradient.iter_mut().zip(x).zip(y) {
            let slope = f64::from(*y) / (x_length * y_length) - along * f64::from(*x);
            *gradient += factor * slope / n as f64;
        }
        cosine
    });
    cosines.sum::<f64>() / n as f64
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

fn length(x: &[f32]) -> f64 {
    dot(x, x).sqrt()
}

/// How evenly rows are spread over the sphere: the standard deviation of each column of `rows` at unit length, averaged, times
/// the square root of the width. 1 where they point everywhere, 0 where all point the same way.
pub(crate) fn spread(rows: &[f32], width: usize) -> f64 {
    let n = (rows.len() / width) as f64;
    let (mut sums, mut squares) = (vec![0.0; width], vec![0.0; width]);
    for row in rows.chunks(width) {
        let length = length(row).max(LEAST);
        for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(row) {
            let value = f64::from(*value) / length;
            *sum += value;
            *square += value * value;
        }
    }
    let deviation = |(sum, square): (&f64, &f64)| (square / n - (sum / n).powi(2)).max(0.0).sqrt();
    sums.iter().zip(&squares).map(deviation).sum::<f64>() / (width as f64).sqrt()
}
