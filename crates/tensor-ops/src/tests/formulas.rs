//! The operations that formulas are written of, against their definitions in double precision and finite differences.

use super::{
    strided::{D, N, View, views},
    *,
};
use crate::{
    Axis, LayerNorm, abs, check_gradient, clamp, concat_columns, concat_rows_of, constant, covariance,
    custom, detach, diagonal, exp, fork, gather_rows, layer_norm_features, log, log_softmax, log_sum_exp,
    matmul, matmul_transposed, mean_all, mean_over, minus, norm_over, number, over, plus, scaled, shifted,
    slice_columns, slice_rows, softmax, square, square_root, sum_all, sum_over, testing::gradient_of, times,
    top1_row, transpose, variance_over,
};

/// `(N, D)` in double precision.
struct Wide {
    n: usize,
    d: usize,
    values: Vec<f64>,
}

impl Wide {
    fn new((n, d): (usize, usize), values: &[f64]) -> Self {
        Self { n, d, values: values.to_vec() }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.d + column]
    }

    fn row(&self, row: usize) -> Vec<f64> {
        (0..self.d).map(|column| self.at(row, column)).collect()
    }

    fn column(&self, column: usize) -> Vec<f64> {
        (0..self.n).map(|row| self.at(row, column)).collect()
    }

    fn of_rows(&self, number: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        (0..self.n).map(|row| number(&self.row(row))).collect()
    }

    fn of_columns(&self, number: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        (0..self.d).map(|column| number(&self.column(column))).collect()
    }

    fn of_each(&self, number: impl Fn(f64) -> f64) -> Vec<f64> {
        self.values.iter().copied().map(number).collect()
    }

    /// Row after row of `(n, d)`.
    fn made(n: usize, d: usize, at: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        (0..n * d).map(|i| at(i / d, i % d)).collect()
    }
}

fn mean(line: &[f64]) -> f64 {
    line.iter().sum::<f64>() / line.len() as f64
}

fn variance(line: &[f64], ddof: usize) -> f64 {
    let mean = mean(line);
    line.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (line.len() - ddof) as f64
}

fn length(line: &[f64]) -> f64 {
    line.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn log_sum(line: &[f64]) -> f64 {
    line.iter().map(|value| value.exp()).sum::<f64>().ln()
}

/// An operation on one matrix, and the same by its definition.
struct Operation {
    name: &'static str,
    run: fn(Features) -> Features,
    oracle: fn(&Wide) -> Vec<f64>,
}

/// A weight matrix `(D, M)` or `(M, D)` for products.
const M: usize = 5;

fn other(shape: (usize, usize)) -> Features {
    constant(&matrix(shape, &noise(77, shape.0 * shape.1)))
}

fn other_at(shape: (usize, usize), row: usize, column: usize) -> f64 {
    f64::from(noise(77, shape.0 * shape.1)[row * shape.1 + column])
}

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "softmax",
        run: |x| softmax(x).unwrap(),
        oracle: |x| Wide::made(x.n, x.d, |i, j| (x.at(i, j) - log_sum(&x.row(i))).exp()),
    },
    Operation {
        name: "log_softmax",
        run: |x| log_softmax(x).unwrap(),
        oracle: |x| Wide::made(x.n, x.d, |i, j| x.at(i, j) - log_sum(&x.row(i))),
    },
    Operation { name: "log_sum_exp", run: |x| log_sum_exp(x).unwrap(), oracle: |x| x.of_rows(log_sum) },
    Operation {
        name: "sum_over rows",
        run: |x| sum_over(x, Axis::Rows).unwrap(),
        oracle: |x| x.of_columns(|column| column.iter().sum()),
    },
    Operation {
        name: "sum_over columns",
        run: |x| sum_over(x, Axis::Columns).unwrap(),
        oracle: |x| x.of_rows(|row| row.iter().sum()),
    },
    Operation {
        name: "mean_over rows",
        run: |x| mean_over(x, Axis::Rows).unwrap(),
        oracle: |x| x.of_columns(mean),
    },
    Operation {
        name: "mean_over columns",
        run: |x| mean_over(x, Axis::Columns).unwrap(),
        oracle: |x| x.of_rows(mean),
    },
    Operation {
        name: "variance_over rows",
        run: |x| variance_over(x, Axis::Rows, 1).unwrap(),
        oracle: |x| x.of_columns(|column| variance(column, 1)),
    },
    Operation {
        name: "variance_over columns",
        run: |x| variance_over(x, Axis::Columns, 0).unwrap(),
        oracle: |x| x.of_rows(|row| variance(row, 0)),
    },
    Operation {
        name: "norm_over rows",
        run: |x| norm_over(x, Axis::Rows).unwrap(),
        oracle: |x| x.of_columns(length),
    },
    Operation {
        name: "norm_over columns",
        run: |x| norm_over(x, Axis::Columns).unwrap(),
        oracle: |x| x.of_rows(length),
    },
    Operation {
        name: "covariance",
        run: |x| covariance(x).unwrap(),
        oracle: |x| {
            let means = x.of_columns(mean);
            Wide::made(x.d, x.d, |i, j| {
                let product = |row: usize| (x.at(row, i) - means[i]) * (x.at(row, j) - means[j]);
                (0..x.n).map(product).sum::<f64>() / (x.n - 1) as f64
            })
        },
    },
    Operation {
        // Of columns that differ: the gradient of a row of equal values is 0.
        name: "layer_norm_features of weighted columns",
        run: |x| {
            let d = x.d();
            let norm = LayerNorm::new(&Device::default(), d, 0.1).unwrap();
            layer_norm_features(times(x, other((1, d))).unwrap(), &norm).unwrap()
        },
        oracle: |x| {
            let row = |i: usize| (0..x.d).map(|j| x.at(i, j) * other_at((1, x.d), 0, j)).collect::<Vec<_>>();
            let at = |row: &[f64], j: usize| (row[j] - mean(row)) / (variance(row, 0) + 0.1).sqrt();
            Wide::made(x.n, x.d, |i, j| at(&row(i), j))
        },
    },
    Operation {
        name: "transpose",
        run: |x| transpose(x).unwrap(),
        oracle: |x| Wide::made(x.d, x.n, |i, j| x.at(j, i)),
    },
    Operation { name: "scaled", run: |x| scaled(x, -1.5).unwrap(), oracle: |x| x.of_each(|x| -1.5 * x) },
    Operation { name: "shifted", run: |x| shifted(x, 0.25).unwrap(), oracle: |x| x.of_each(|x| x + 0.25) },
    Operation { name: "exp", run: |x| exp(x).unwrap(), oracle: |x| x.of_each(f64::exp) },
    Operation { name: "square", run: |x| square(x).unwrap(), oracle: |x| x.of_each(|x| x * x) },
    Operation { name: "abs", run: |x| abs(x).unwrap(), oracle: |x| x.of_each(f64::abs) },
    Operation {
        name: "log",
        run: |x| log(shifted(x, 2.0).unwrap()).unwrap(),
        oracle: |x| x.of_each(|x| (x + 2.0).ln()),
    },
    Operation {
        name: "square_root",
        run: |x| square_root(shifted(x, 2.0).unwrap()).unwrap(),
        oracle: |x| x.of_each(|x| (x + 2.0).sqrt()),
    },
    Operation {
        name: "clamp",
        run: |x| clamp(x, -0.4, 0.3).unwrap(),
        oracle: |x| x.of_each(|x| x.clamp(-0.4, 0.3)),
    },
    Operation {
        name: "gather_rows",
        run: |x| gather_rows(x, &[1, 0, 1]).unwrap(),
        oracle: |x| [x.row(1), x.row(0), x.row(1)].concat(),
    },
    Operation { name: "slice_rows", run: |x| slice_rows(x, 1..2).unwrap(), oracle: |x| x.row(1) },
    Operation {
        name: "slice_columns",
        run: |x| slice_columns(x, 1..3).unwrap(),
        oracle: |x| Wide::made(x.n, 2, |i, j| x.at(i, 1 + j)),
    },
    Operation {
        name: "concat_rows_of",
        run: |x| {
            let (a, b) = fork(x);
            let (n, d) = (a.n(), a.d());
            concat_rows_of(vec![a, other((2, d)), square(b).unwrap()])
                .inspect(|y| assert_eq!((y.n(), y.d()), (2 * n + 2, d)))
                .unwrap()
        },
        oracle: |x| {
            let between = Wide::made(2, x.d, |i, j| other_at((2, x.d), i, j));
            [x.values.clone(), between, x.of_each(|x| x * x)].concat()
        },
    },
    Operation {
        name: "concat_columns",
        run: |x| {
            let (a, b) = fork(x);
            let n = a.n();
            concat_columns(vec![a, other((n, 2)), square(b).unwrap()]).unwrap()
        },
        oracle: |x| {
            let at = |i: usize, j: usize| match j {
                j if j < x.d => x.at(i, j),
                j if j < x.d + 2 => other_at((x.n, 2), i, j - x.d),
                j => x.at(i, j - x.d - 2).powi(2),
            };
            Wide::made(x.n, 2 * x.d + 2, at)
        },
    },
    Operation {
        name: "diagonal of a matrix times itself",
        run: |x| {
            let (a, b) = fork(x);
            diagonal(matmul_transposed(a, b).unwrap()).unwrap()
        },
        oracle: |x| x.of_rows(|row| row.iter().map(|value| value * value).sum()),
    },
    Operation {
        name: "matmul, first matrix",
        run: |x| {
            let d = x.d();
            matmul(x, other((d, M))).unwrap()
        },
        oracle: |x| Wide::made(x.n, M, |i, j| (0..x.d).map(|k| x.at(i, k) * other_at((x.d, M), k, j)).sum()),
    },
    Operation {
        name: "matmul, second matrix",
        run: |x| {
            let n = x.n();
            matmul(other((M, n)), x).unwrap()
        },
        oracle: |x| Wide::made(M, x.d, |i, j| (0..x.n).map(|k| other_at((M, x.n), i, k) * x.at(k, j)).sum()),
    },
    Operation {
        name: "matmul_transposed, first matrix",
        run: |x| {
            let d = x.d();
            matmul_transposed(x, other((M, d))).unwrap()
        },
        oracle: |x| Wide::made(x.n, M, |i, j| (0..x.d).map(|k| x.at(i, k) * other_at((M, x.d), j, k)).sum()),
    },
    Operation {
        name: "matmul_transposed, second matrix",
        run: |x| {
            let d = x.d();
            matmul_transposed(other((M, d)), x).unwrap()
        },
        oracle: |x| Wide::made(M, x.n, |i, j| (0..x.d).map(|k| other_at((M, x.d), i, k) * x.at(j, k)).sum()),
    },
    Operation {
        name: "matmul of a matrix with its transpose",
        run: |x| {
            let (a, b) = fork(x);
            matmul(transpose(a).unwrap(), b).unwrap()
        },
        oracle: |x| Wide::made(x.d, x.d, |i, j| (0..x.n).map(|k| x.at(k, i) * x.at(k, j)).sum()),
    },
    Operation {
        name: "what sums to a matrix and its column",
        run: |x| {
            let (a, b) = fork(x);
            plus(a, slice_columns(b, 0..1).unwrap()).unwrap()
        },
        oracle: |x| Wide::made(x.n, x.d, |i, j| x.at(i, j) + x.at(i, 0)),
    },
    Operation {
        name: "what a matrix is more than its row",
        run: |x| {
            let (a, b) = fork(x);
            minus(slice_rows(a, 1..2).unwrap(), b).unwrap()
        },
        oracle: |x| Wide::made(x.n, x.d, |i, j| x.at(1, j) - x.at(i, j)),
    },
    Operation {
        name: "times itself",
        run: |x| {
            let (a, b) = fork(x);
            times(a, b).unwrap()
        },
        oracle: |x| x.of_each(|x| x * x),
    },
    Operation {
        name: "over its lengths",
        run: |x| {
            let (a, b) = fork(x);
            over(a, norm_over(b, Axis::Columns).unwrap()).unwrap()
        },
        oracle: |x| Wide::made(x.n, x.d, |i, j| x.at(i, j) / length(&x.row(i))),
    },
];

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
fn a_detached_value_has_no_gradient() {
    let (name, x) = named_rows((2, 3), &noise(1, 6));
    let kept = constant(&detach(&x));
    let mut gradients = backward(sum_all(times(x, kept).unwrap()).unwrap()).unwrap();
    // That of a square would be twice the value.
    assert_eq!(gradient_of(&name, &mut gradients), noise(1, 6));
    let (a, b) = fork(constant(&name));
    assert!(!plus(a, b).unwrap().split_recording().1.is_on());
}

#[test]
fn the_largest_of_a_row_is_the_first_of_equal_ones() {
    let x = rows((4, 3), &[1.0, 1.0, 0.0, -3.0, -2.0, -2.0, 0.0, f32::NAN, f32::INFINITY, 0.0, 1.0, 2.0]);
    assert_eq!(top1_row(&x), [0, 1, 1, 2]);
    assert_eq!(top1_row(&rows((2, 1), &[1.0, 2.0])), [0, 0]);
}

#[test]
fn values_at_the_edge_are_those_of_pytorch() {
    let infinite = f32::NEG_INFINITY;
    let x = || rows((3, 2), &[1e4, 0.0, infinite, 0.0, infinite, infinite]);
    let y = softmax(x()).unwrap().rows();
    assert_eq!(y[..4], [1.0, 0.0, 0.0, 1.0]);
    assert!(y[4].is_nan());
    assert_eq!(log_softmax(x()).unwrap().rows()[..4], [0.0, -1e4, infinite, 0.0]);
    assert_eq!(log_sum_exp(x()).unwrap().rows(), [1e4, 0.0, infinite]);
    let nan = clamp(rows((1, 1), &[f32::NAN]), 0.0, 1.0).unwrap();
    assert!(nan.rows()[0].is_nan());
    let gradient = |run: fn(Features) -> Result<Features, OpError>, at: [f32; 3]| {
        let (name, x) = named_rows((1, 3), &at);
        gradient_of(&name, &mut backward(sum_all(run(x).unwrap()).unwrap()).unwrap())
    };
    assert_eq!(gradient(abs, [-2.0, 0.0, 2.0]), [-1.0, 0.0, 1.0]);
    assert_eq!(gradient(|x| clamp(x, -1.0, 1.0), [-1.0, 1.0, 1.5]), [1.0, 1.0, 0.0]);
    assert_eq!(gradient(|x| norm_over(x, Axis::Columns), [0.0; 3]), [0.0; 3]);
    assert_eq!(gradient(square_root, [0.0, 1.0, 4.0]), [f32::INFINITY, 0.5, 0.25]);
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

#[test]
fn what_does_not_fit_is_refused_with_its_numbers() {
    let x = || rows((2, 3), &noise(1, 6));
    let message = |result: Result<Features, OpError>| result.unwrap_err().to_string();
    assert_eq!(message(matmul(x(), x())), "matmul: number of rows of the second matrix must be 3, got 2");
    assert_eq!(
        message(matmul_transposed(x(), rows((2, 2), &noise(1, 4)))),
        "matmul_transposed: width of the second matrix must be 3, got 2"
    );
    assert_eq!(
        message(covariance(rows((1, 3), &noise(1, 3)))),
        "covariance: number of rows is 1, but it must be at least 2"
    );
    assert_eq!(
        message(variance_over(x(), Axis::Rows, 2)),
        "variance_over: number of values, and `ddof`, is (2, 2), but the axis must have more values than `ddof`"
    );
    assert_eq!(
        message(clamp(x(), 1.0, 0.5)),
        "clamp: bounds is (1.0, 0.5), but the first must be at most the second"
    );
    assert!(clamp(x(), f32::NAN, 0.5).is_err());
    assert_eq!(
        message(gather_rows(x(), &[0, 2])),
        "gather_rows: a row to gather must be less than 2, the number of rows, got 2"
    );
    assert!(gather_rows(x(), &[]).is_err());
    let (start, end) = (2, 1);
    for range in [0..4, 1..1, start..end] {
        assert!(slice_columns(x(), range).is_err());
    }
    assert_eq!(
        message(slice_rows(x(), 1..3)),
        "slice_rows: rows must be a range within 0..2 that is not empty, got 1..3"
    );
    assert_eq!(message(diagonal(x())), "diagonal: number of columns, that of the rows, must be 2, got 3");
    assert!(concat_rows_of(Vec::new()).is_err());
    assert!(concat_columns(Vec::new()).is_err());
    assert!(concat_rows_of(vec![x(), rows((2, 2), &noise(1, 4))]).is_err());
    assert!(concat_columns(vec![x(), rows((3, 3), &noise(1, 9))]).is_err());
}

#[test]
fn a_check_of_gradients_finds_the_value_that_is_wrong() {
    let (a, b) = (matrix((3, 2), &noise(1, 6)), matrix((2, 4), &noise(2, 8)));
    let inputs = [a, b];
    // With one value of one gradient larger by a fiftieth.
    let product = |mut x: Vec<Features>, is_wrong: bool| {
        let y = matmul(x.remove(0), x.remove(0))?;
        let copy = y.rows();
        let y = custom(vec![y], (3, 4), copy, move |gradient| {
            let mut gradient = gradient.to_vec();
            if is_wrong {
                gradient[7] *= 1.02;
            }
            vec![gradient]
        })?;
        weighted_sum(softmax(y)?, &noise(3, 12))
    };
    let right = check_gradient(|x| product(x, false), &inputs).unwrap();
    assert!(right.largest_error < 1e-3, "{right:?}");
    let wrong = check_gradient(|x| product(x, true), &inputs).unwrap();
    assert!(wrong.largest_error > 5e-3, "{wrong:?}");
    // A parameter of a smooth function of large or of small numbers is no harder.
    for size in [1e-3, 1e3] {
        let x = matrix((2, 3), &noise(4, 6).iter().map(|value| size * value).collect::<Vec<_>>());
        let norms = |mut x: Vec<Features>| mean_all(norm_over(x.remove(0), Axis::Columns)?);
        let check = check_gradient(norms, &[x]).unwrap();
        assert!(check.largest_error < 1e-3, "{check:?}");
    }
    // Nor one that the loss does not depend on.
    let check = check_gradient(|mut x| sum_all(square(x.remove(0))?), &inputs).unwrap();
    assert!(check.largest_error < 1e-3, "{check:?}");
}

#[test]
fn a_check_of_gradients_refuses_what_it_cannot_compare() {
    let x = matrix((1, 2), &[1.0, -1.0]);
    let error = |result: Result<crate::GradientCheck, OpError>| result.unwrap_err().to_string();
    let stopped = check_gradient(|x| sum_all(constant(&detach(&x[0]))), std::slice::from_ref(&x));
    assert!(matches!(stopped, Err(OpError::NotRecorded { .. })));
    let infinite = check_gradient(|mut x| sum_all(log(x.remove(0))?), std::slice::from_ref(&x));
    assert_eq!(
        error(infinite),
        "check_gradient: the loss is NaN, but it must be finite where gradients are compared"
    );
    let n_calls = std::cell::Cell::new(0.0);
    let another = |mut x: Vec<Features>| {
        n_calls.set(n_calls.get() + 1.0);
        sum_all(shifted(x.remove(0), n_calls.get())?)
    };
    let refused = error(check_gradient(another, &[x]));
    assert!(refused.contains("the loss, computed twice, is (2.0, 4.0)"), "{refused}");
    assert!(check_gradient(|_| sum_all(rows((1, 1), &[1.0])), &[]).is_err());
}
