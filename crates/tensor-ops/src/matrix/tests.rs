use super::{Packed, RowsProduct, Side, multiply, outer_products};
use crate::{
    simd::Family,
    testing::{assert_close, noise, wide},
};

/// `(n, k)` by `(k, m)`, in double precision.
fn oracle(a: &[f32], b: &[f32], k: usize, m: usize) -> Vec<f64> {
    let (a, b) = (wide(a), wide(b));
    let mut out = vec![0.0; a.len() / k * m];
    for (out, a) in out.chunks_exact_mut(m).zip(a.chunks_exact(k)) {
        for (a, b) in a.iter().zip(b.chunks_exact(m)) {
            for (out, b) in out.iter_mut().zip(b) {
                *out += a * b;
            }
        }
    }
    out
}

fn transposed(values: &[f32], n_columns: usize) -> Vec<f32> {
    let column = |column| values.iter().skip(column).step_by(n_columns).copied();
    (0..n_columns).flat_map(column).collect()
}

#[test]
fn products_agree_with_their_definition_at_all_sizes() {
    for family in Family::available() {
        // Few rows and many, whole panels and rests, one pass over the inner dimension and two.
        for (n, k, m) in [(1, 1, 1), (7, 5, 16), (13, 400, 33), (65, 17, 70), (515, 9, 35), (700, 25, 130)] {
            let (a, b) = (noise(1, n * k), noise(2, k * m));
            let expected = oracle(&a, &b, k, m);
            let what = format!("{family:?} {n}x{k}x{m}");
            assert_close(&what, &multiply(family, &a, Side::plain(&b, k, m)), &expected, 1e-6);
            let turned = transposed(&b, m);
            assert_close(&what, &multiply(family, &a, Side::transposed(&turned, m, k)), &expected, 1e-6);
        }
    }
}

#[test]
fn addends_are_added_once() {
    for family in Family::available() {
        for (n, k, m) in [(3, 2, 1), (50, 6, 32), (101, 11, 37)] {
            let (a, b, bias, residual) = (noise(1, n * k), noise(2, k * m), noise(3, m), noise(4, n * m));
            let packed = Packed::new(family, Side::plain(&b, k, m));
            let plain = oracle(&a, &b, k, m);
            let expected = |with_residual: bool| -> Vec<f64> {
                let at = |i: usize| {
                    let residual = if with_residual { f64::from(residual[i]) } else { 0.0 };
                    plain[i] + f64::from(bias[i % m]) + residual
                };
                (0..n * m).map(at).collect()
            };
            let product = RowsProduct { packed: &packed, bias: Some(&bias), residual: Some(&residual) };
            assert_close("both", &product.multiply(&a), &expected(true), 1e-6);
            let product = RowsProduct { residual: None, ..product };
            assert_close("bias", &product.multiply(&a), &expected(false), 1e-6);
            let mut sum = residual.clone();
            RowsProduct::plain(&packed).add_to(&a, &mut sum);
            let expected: Vec<f64> = plain.iter().zip(&residual).map(|(y, &r)| y + f64::from(r)).collect();
            assert_close("sum", &sum, &expected, 1e-6);
        }
    }
}

#[test]
fn factors_scale_the_rows_in_place() {
    let (n, k, m) = (61, 7, 19);
    for family in Family::available() {
        let (mut a, factors, b) = (noise(1, n * k), noise(2, n * k), noise(3, k * m));
        let scaled: Vec<f32> = a.iter().zip(&factors).map(|(a, factor)| a * factor).collect();
        let packed = Packed::new(family, Side::plain(&b, k, m));
        let y = RowsProduct::plain(&packed).multiply_scaled(&mut a, &factors);
        assert_eq!(a, scaled);
        assert_close("product", &y, &oracle(&scaled, &b, k, m), 1e-6);
    }
}

#[test]
fn gradients_of_weights_agree_with_their_definition_at_all_sizes() {
    for family in Family::available() {
        // By slices of rows, by strips of inputs and outputs, and straight to the result.
        for (n, n_in, n_out) in
            [(1, 1, 1), (5, 7, 3), (600, 13, 37), (900, 20, 33), (40, 250, 210), (30, 1500, 5)]
        {
            let (x, gradient) = (noise(1, n * n_in), noise(2, n * n_out));
            let sums = outer_products(family, &x, n_in, &gradient, n_out);
            let what = format!("{family:?} {n}: {n_in} by {n_out}");
            let expected = oracle(&transposed(&x, n_in), &gradient, n, n_out);
            assert_close(&what, &sums.weight, &expected, 2e-6);
            assert_close(&what, &sums.bias, &oracle(&vec![1.0; n], &gradient, n, n_out), 2e-6);
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let (n, n_in, n_out) = (1000, 40, 50);
            let (x, gradient, b) = (noise(1, n * n_in), noise(2, n * n_out), noise(3, n_in * n_out));
            let family = Family::detected();
            let sums = outer_products(family, &x, n_in, &gradient, n_out);
            let y = multiply(family, &x, Side::plain(&b, n_in, n_out));
            [sums.weight, sums.bias, y].concat()
        })
    };
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(run(1)), bits(run(3)));
}
