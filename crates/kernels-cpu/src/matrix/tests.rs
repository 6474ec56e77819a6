use super::{Packed, RowsProduct, Side, multiply, outer_products, scale};
use crate::{
    Precision,
    simd::Family,
    testing::{assert_close, families, noise, wide},
    values::{Lent, Values},
};

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

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
    for family in families() {
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
    for family in families() {
        for (n, k, m) in [(3, 2, 1), (50, 6, 32), (101, 11, 37)] {
            let (a, b, bias, residual) = (noise(1, n * k), noise(2, k * m), noise(3, m), noise(4, n * m));
            let packed = Packed::new(family, Side::plain(&b, k, m), Precision::F32);
            let plain = oracle(&a, &b, k, m);
            let expected = |with_residual: bool| -> Vec<f64> {
                let at = |i: usize| {
                    let residual = if with_residual { f64::from(residual[i]) } else { 0.0 };
                    plain[i] + f64::from(bias[i % m]) + residual
                };
                (0..n * m).map(at).collect()
            };
            let product =
                RowsProduct { packed: &packed, bias: Some(&bias), residual: Some(Lent::F32(&residual)) };
            assert_close(
                "both",
                &product.multiply(Lent::F32(&a), Precision::F32).whole(),
                &expected(true),
                1e-6,
            );
            let product = RowsProduct { residual: None, ..product };
            assert_close(
                "bias",
                &product.multiply(Lent::F32(&a), Precision::F32).whole(),
                &expected(false),
                1e-6,
            );
            let mut sum = Values::F32(residual.clone());
            RowsProduct::plain(&packed).add_to(Lent::F32(&a), &mut sum);
            let expected: Vec<f64> = plain.iter().zip(&residual).map(|(y, &r)| y + f64::from(r)).collect();
            assert_close("sum", &sum.whole(), &expected, 1e-6);
        }
    }
}

#[test]
fn factors_scale_the_rows_in_place() {
    let (n, k, m) = (61, 8, 19);
    for (a_precision, precision) in
        PRECISIONS.into_iter().flat_map(|of_a| PRECISIONS.map(|of_y| (of_a, of_y)))
    {
        for family in families() {
            let b = Values::new(noise(3, k * m), a_precision).into_whole();
            let before = Values::new(noise(1, n * k), a_precision);
            let factors = Values::new(noise(2, n * k), a_precision);
            let products: Vec<f32> =
                before.whole().iter().zip(&*factors.whole()).map(|(a, factor)| a * factor).collect();
            let scaled = Values::new(products, a_precision);
            let packed = Packed::new(family, Side::plain(&b, k, m), a_precision);
            let product = RowsProduct::plain(&packed);
            let mut a = before.clone();
            let y = product.multiply_scaled(&mut a, factors.lend(), precision);
            assert_eq!(a.whole(), scaled.whole(), "{family:?}");
            let mut alone = before.clone();
            scale(family, &mut alone, &factors);
            assert_eq!(alone.whole(), scaled.whole(), "{family:?}");
            assert_eq!(y.precision(), precision);
            let tolerance = if precision == Precision::F32 { 1e-6 } else { 5e-3 };
            assert_close("product", &y.into_whole(), &oracle(&scaled.whole(), &b, k, m), tolerance);
        }
    }
}

#[test]
fn gradients_of_weights_agree_with_their_definition_at_all_sizes() {
    for family in families() {
        // By slices of rows, by strips of inputs and outputs, and straight to the result.
        for (n, n_in, n_out) in
            [(1, 1, 1), (5, 7, 3), (600, 13, 37), (900, 20, 33), (40, 250, 210), (30, 1500, 5)]
        {
            let (x, gradient) = (noise(1, n * n_in), noise(2, n * n_out));
            let sums = outer_products(family, (Lent::F32(&x), n_in), (Lent::F32(&gradient), n_out), true);
            let what = format!("{family:?} {n}: {n_in} by {n_out}");
            let expected = oracle(&transposed(&x, n_in), &gradient, n, n_out);
            assert_close(&what, &sums.weight, &expected, 2e-6);
            assert_close(&what, &sums.bias, &oracle(&vec![1.0; n], &gradient, n, n_out), 2e-6);
        }
    }
}

/// Values that are bfloat16, as such and in single precision.
fn halves(seed: u32, len: usize) -> (Values, Vec<f32>) {
    let values = Values::new(noise(seed, len), Precision::Bf16);
    let wide = values.whole().into_owned();
    (values, wide)
}

/// Products of bfloat16 are exact in single precision, and their sums are not rounded to less.
#[test]
fn products_of_bfloat16_are_summed_in_single_precision() {
    for family in families() {
        for (n, k, m) in [(1, 2, 1), (13, 400, 33), (65, 18, 70), (515, 9, 35), (700, 26, 130)] {
            let ((a, wide_a), (_, b)) = (halves(1, n * k), halves(2, k * m));
            let expected = oracle(&wide_a, &b, k, m);
            let what = format!("{family:?} {n}x{k}x{m}");
            let turned = transposed(&b, m);
            for side in [Side::plain(&b, k, m), Side::transposed(&turned, m, k)] {
                let packed = Packed::new(family, side, Precision::Bf16);
                let product = RowsProduct::plain(&packed);
                for a in [a.lend(), Lent::F32(&wide_a)] {
                    let y = product.multiply(a, Precision::F32);
                    assert_close(&what, &y.whole(), &expected, 1e-6);
                }
                let (y, slopes) = product.multiply_gelu(a.lend(), Precision::Bf16);
                let (alone, precise) = (
                    product.multiply_gelu_only(a.lend(), Precision::Bf16),
                    product.multiply_gelu(a.lend(), Precision::F32),
                );
                assert_eq!(y.whole(), alone.whole(), "{what}");
                assert_close(&what, &y.whole(), &wide(&precise.0.whole()), 4e-3);
                assert_close(&what, &slopes.whole(), &wide(&precise.1.whole()), 4e-3);
            }
        }
    }
}

#[test]
fn gradients_of_weights_pair_the_rows_of_bfloat16() {
    for family in families() {
        for (n, n_in, n_out) in
            [(1, 1, 1), (5, 7, 3), (601, 13, 37), (1300, 20, 33), (40, 250, 210), (31, 1500, 5)]
        {
            let ((x, wide_x), (_, gradient)) = (halves(1, n * n_in), halves(2, n * n_out));
            let sums = outer_products(family, (x.lend(), n_in), (Lent::F32(&gradient), n_out), true);
            let what = format!("{family:?} {n}: {n_in} by {n_out}");
            let expected = oracle(&transposed(&wide_x, n_in), &gradient, n, n_out);
            assert_close(&what, &sums.weight, &expected, 2e-6);
            assert_close(&what, &sums.bias, &oracle(&vec![1.0; n], &gradient, n, n_out), 2e-6);
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |family: Family, n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let (n, n_in, n_out) = (1000, 40, 50);
            let (x, gradient, b) = (noise(1, n * n_in), noise(2, n * n_out), noise(3, n_in * n_out));
            let sums = outer_products(family, (Lent::F32(&x), n_in), (Lent::F32(&gradient), n_out), true);
            let y = multiply(family, &x, Side::plain(&b, n_in, n_out));
            [sums.weight, sums.bias, y].concat()
        })
    };
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    for family in families() {
        assert_eq!(bits(run(family, 1)), bits(run(family, 3)), "{family:?}");
    }
}
