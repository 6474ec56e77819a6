//! Operations against their definitions and finite differences.

use super::*;

/// The value and the gradient of an operation of what `make` makes of a base, and of `view` of it in double precision.
fn assert_right(
    what: &str,
    operation: &Operation,
    (shape, base): ((usize, usize), &[f32]),
    make: &dyn Fn(Features) -> Features,
    view: &dyn Fn(&[f64]) -> Wide,
) {
    let (input, recorded) = named_rows(shape, base);
    let y = (operation.run)(make(recorded));
    let oracle = |base: &[f64]| (operation.oracle)(&view(base));
    assert_close(&format!("value of {what}"), &y.rows(), &oracle(&wide(base)), 3e-6);
    let weights = noise(6, y.n() * y.d());
    let got = gradient_of(&input, &mut backward_weighted_rows(y, &weights));
    let expected = differences(|base| weighted(&oracle(base), &weights), &wide(base));
    assert_close(&format!("gradient of {what}"), &got, &expected, 1e-4);
}

#[test]
fn every_operation_is_its_definition_with_its_gradient() {
    for operation in OPERATIONS {
        for shape in [(2, 3), (5, 4), (33, 7), (3, 70)] {
            let base = noise(5, shape.0 * shape.1);
            let what = format!("{} of {shape:?}", operation.name);
            assert_right(&what, operation, (shape, &base), &|x| x, &|base| Wide::new(shape, base));
        }
    }
}

#[test]
fn every_operation_takes_rows_of_any_strides() {
    for View { name, shape, make, source } in views() {
        let base = noise(5, shape.0 * shape.1);
        let view =
            |base: &[f64]| Wide::new((N, D), &Wide::made(N, D, |row, column| base[source(row, column)]));
        for operation in OPERATIONS {
            let what = format!("{} of {name}", operation.name);
            assert_right(&what, operation, (shape, &base), &make, &view);
        }
    }
}

#[test]
fn gradients_of_a_value_that_is_used_twice_add_up() {
    for operation in OPERATIONS {
        let (shape, base) = ((4, 3), noise(5, 12));
        let (input, recorded) = named_rows(shape, &base);
        let (a, b) = fork(recorded);
        let y = times((operation.run)(a), (operation.run)(b)).unwrap();
        let weights = noise(6, y.n() * y.d());
        let got = gradient_of(&input, &mut backward_weighted_rows(y, &weights));
        let squares = |base: &[f64]| {
            let y = (operation.oracle)(&Wide::new(shape, base));
            weighted(&y.iter().map(|y| y * y).collect::<Vec<_>>(), &weights)
        };
        assert_close(operation.name, &got, &differences(squares, &wide(&base)), 1e-4);
    }
}

#[test]
fn two_matrices_go_together_by_their_rows_and_columns() {
    type Arithmetic = (fn(Features, Features) -> Result<Features, OpError>, fn(f64, f64) -> f64);
    let operations: [Arithmetic; 4] =
        [(plus, |a, b| a + b), (minus, |a, b| a - b), (times, |a, b| a * b), (over, |a, b| a / b)];
    let whole = (4, 3);
    for (run, oracle) in operations {
        for (a_shape, b_shape) in [
            (whole, whole),
            (whole, (1, 3)),
            (whole, (4, 1)),
            (whole, (1, 1)),
            ((1, 3), whole),
            ((4, 1), (1, 3)),
            ((1, 1), whole),
        ] {
            let (a, b) = (noise(1, a_shape.0 * a_shape.1), noise(2, b_shape.0 * b_shape.1));
            // Far from 0, which `over` divides by.
            let b: Vec<f32> = b.iter().map(|value| value + 2.0).collect();
            let at = |values: &[f64], (n, d): (usize, usize), i: usize, j: usize| {
                values[i.min(n - 1) * d + j.min(d - 1)]
            };
            let value = |a: &[f64], b: &[f64]| {
                Wide::made(4, 3, |i, j| oracle(at(a, a_shape, i, j), at(b, b_shape, i, j)))
            };
            let ((a_name, a_recorded), (b_name, b_recorded)) =
                (named_rows(a_shape, &a), named_rows(b_shape, &b));
            let y = run(a_recorded, b_recorded).unwrap();
            assert_eq!((y.n(), y.d()), whole);
            let what = format!("{a_shape:?} and {b_shape:?}");
            let (a, b) = (wide(&a), wide(&b));
            assert_close(&what, &y.rows(), &value(&a, &b), 1e-6);
            let weights = noise(3, 12);
            let mut gradients = backward_weighted_rows(y, &weights);
            let by_a = differences(|a| weighted(&value(a, &b), &weights), &a);
            assert_close(&what, &gradient_of(&a_name, &mut gradients), &by_a, 1e-5);
            let by_b = differences(|b| weighted(&value(&a, b), &weights), &b);
            assert_close(&what, &gradient_of(&b_name, &mut gradients), &by_b, 1e-5);
        }
        let refused = run(rows((4, 3), &noise(1, 12)), rows((3, 4), &noise(2, 12)));
        assert!(matches!(refused, Err(OpError::Shape { .. })));
        assert!(run(rows((4, 3), &noise(1, 12)), rows((2, 1), &noise(2, 2))).is_err());
    }
}

#[test]
fn a_contrastive_loss_as_a_formula_is_the_loss_of_one_operation() {
    let temperature = 0.2;
    let (queries, keys) = (noise(1, 6 * 5), noise(2, 6 * 5));
    let keys = l2_normalize(rows((6, 5), &keys)).unwrap().rows();
    let run = |is_formula: bool| {
        let (name, x) = named_rows((6, 5), &queries);
        let q = l2_normalize(x).unwrap();
        let loss = if is_formula {
            let logits = matmul_transposed(q, constant(&matrix((6, 5), &keys))).unwrap();
            let own = diagonal(log_softmax(scaled(logits, 1.0 / temperature).unwrap()).unwrap()).unwrap();
            // Times twice the temperature, as in MoCo v3.
            scale_loss(mean_all(own).unwrap(), -2.0 * temperature).unwrap()
        } else {
            crate::info_nce_in_batch(q, &matrix((6, 5), &keys), 0, temperature, KeepLogits::No).unwrap().loss
        };
        (number(&loss), gradient_of(&name, &mut backward(loss).unwrap()))
    };
    let ((value, gradient), (expected, of_operation)) = (run(true), run(false));
    assert!((value - expected).abs() < 1e-5, "{value} {expected}");
    assert_close("gradient", &gradient, &wide(&of_operation), 1e-4);
}

#[test]
fn the_whole_of_a_matrix_is_its_sum_or_mean() {
    let x = noise(1, 35);
    for (run, factor) in [(sum_all as fn(Features) -> _, 1.0), (mean_all, 1.0 / 35.0)] {
        let (name, recorded) = named_rows((5, 7), &x);
        let loss = run(recorded).unwrap();
        assert_close("value", &[number(&loss)], &[factor * wide(&x).iter().sum::<f64>()], 1e-6);
        assert_close("gradient", &gradient_of(&name, &mut backward(loss).unwrap()), &[factor; 35], 1e-6);
    }
}

#[test]
fn formulas_do_not_depend_on_the_number_of_threads() {
    let run = |n_threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let mut bits = Vec::new();
            for operation in OPERATIONS {
                let (name, x) = named_rows((97, 61), &noise(1, 97 * 61));
                let y = (operation.run)(x);
                let (values, weights) = (y.rows(), noise(2, y.n() * y.d()));
                let gradient = gradient_of(&name, &mut backward_weighted_rows(y, &weights));
                bits.extend(values.into_iter().chain(gradient).map(f32::to_bits));
            }
            bits
        })
    };
    assert_eq!(run(1), run(3));
}
