//! A linear layer on plain rows, without a recording: for what learns beside an encoder, such as a classifier of its features.

use kernels_cpu::{
    Family, Lent,
    matrix::{Side, multiply, outer_products},
    rows::add_to_rows,
};

use crate::{OpError, values::check_len};

/// The gradients of a linear layer's weights and bias.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearGradient {
    /// `(in, out)`: the sum over rows of input (outer product) gradient.
    pub weight: Vec<f32>,
    /// `out`: the sum over rows of the gradient.
    pub bias: Vec<f32>,
}

/// `x * weight + bias`, `(N, in)` to `(N, out)`, on the host; `weight` is `(in, out)`, `bias` has `out` values, and all
/// lie row after row.
///
/// # Errors
///
/// When the sizes differ, or one of them is 0.
pub fn linear_rows(x: &[f32], n_in: usize, weight: &[f32], bias: &[f32]) -> Result<Vec<f32>, OpError> {
    let n_out = bias.len();
    check("linear_rows", x, n_in)?;
    if n_out == 0 {
        return Err(OpError::value("linear_rows", "output features", n_out, "there must be at least one"));
    }
    check_len("linear_rows", "values of the weight", &[n_in, n_out], weight.len())?;
    let family = Family::detected();
    let mut y = multiply(family, x, Side::plain(weight, n_in, n_out));
    add_to_rows(family, &mut y, bias);
    Ok(y)
}

/// The gradients of [`linear_rows`] in its weights and bias, from its input `(N, in)` and the gradient of its output
/// `(N, out)`.
///
/// # Errors
///
/// When the sizes differ, or one of them is 0.
pub fn linear_rows_gradient(
    x: &[f32],
    n_in: usize,
    gradient: &[f32],
    n_out: usize,
) -> Result<LinearGradient, OpError> {
    const OP: &str = "linear_rows_gradient";
    let n = check(OP, x, n_in)?;
    if n_out == 0 {
        return Err(OpError::value(OP, "output features", n_out, "there must be at least one"));
    }
    check_len(OP, "values of the gradient", &[n, n_out], gradient.len())?;
    let sums = outer_products(Family::detected(), (Lent::F32(x), n_in), (Lent::F32(gradient), n_out), true);
    Ok(LinearGradient { weight: sums.weight, bias: sums.bias })
}

/// The number of rows.
fn check(op: &'static str, x: &[f32], n_in: usize) -> Result<usize, OpError> {
    if n_in == 0 || x.is_empty() || !x.len().is_multiple_of(n_in) {
        let must = "it must be a positive multiple of the input features";
        return Err(OpError::value(op, "number of input values", x.len(), must));
    }
    Ok(x.len() / n_in)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, noise};

    #[test]
    fn the_product_and_its_gradients_are_the_definition() {
        for (n, n_in, n_out) in [(1, 1, 1), (3, 5, 2), (65, 33, 70), (600, 40, 12)] {
            let (x, weight, bias) = (noise(1, n * n_in), noise(2, n_in * n_out), noise(3, n_out));
            let y = linear_rows(&x, n_in, &weight, &bias).unwrap();
            let gradient = noise(4, n * n_out);
            let sums = linear_rows_gradient(&x, n_in, &gradient, n_out).unwrap();
            let at = |i: usize| {
                let (row, out) = (i / n_out, i % n_out);
                let product = |k: usize| f64::from(x[row * n_in + k]) * f64::from(weight[k * n_out + out]);
                (0..n_in).map(product).sum::<f64>() + f64::from(bias[out])
            };
            assert_close("output", &y, &(0..n * n_out).map(at).collect::<Vec<_>>(), 1e-5);
            let at = |i: usize| {
                let (k, out) = (i / n_out, i % n_out);
                let product =
                    |row: usize| f64::from(x[row * n_in + k]) * f64::from(gradient[row * n_out + out]);
                (0..n).map(product).sum::<f64>()
            };
            assert_close("weight", &sums.weight, &(0..n_in * n_out).map(at).collect::<Vec<_>>(), 1e-5);
            let at = |out: usize| (0..n).map(|row| f64::from(gradient[row * n_out + out])).sum::<f64>();
            assert_close("bias", &sums.bias, &(0..n_out).map(at).collect::<Vec<_>>(), 1e-5);
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        assert!(linear_rows(&[1.0; 5], 2, &[1.0; 4], &[0.0; 2]).is_err());
        assert!(linear_rows(&[1.0; 4], 2, &[1.0; 3], &[0.0; 2]).is_err());
        assert!(linear_rows(&[1.0; 4], 2, &[], &[]).is_err());
        assert!(linear_rows(&[], 2, &[1.0; 4], &[0.0; 2]).is_err());
        assert!(linear_rows_gradient(&[1.0; 4], 2, &[1.0; 3], 2).is_err());
        assert!(linear_rows_gradient(&[1.0; 4], 0, &[1.0; 3], 2).is_err());
        assert!(linear_rows_gradient(&[1.0; 4], 2, &[], 0).is_err());
        assert!(linear_rows_gradient(&[1.0; 4], 2, &[], 1 << 63).is_err());
    }
}
