//! The operations that formulas are written of, against their definitions in double precision and finite differences.

mod check_gradient;
mod definitions;
mod edges;

use super::{
    strided::{D, N, View, views},
    *,
};
use crate::{
    Axis, LayerNorm, abs, clamp, concat_columns, concat_rows_of, constant, covariance, custom, detach,
    diagonal, exp, fork, gather_rows, layer_norm_features, log, log_softmax, log_sum_exp, matmul,
    matmul_transposed, mean_all, mean_over, minus, norm_over, number, over, plus, reshape_rows,
    rows_from_tokens, scaled, shifted, slice_columns, slice_rows, softmax, square, square_root, sum_all,
    sum_over, testing::gradient_of, times, tokens_from_rows, top1_row, transpose, variance_over,
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
pub(super) struct Operation {
    /// Begins with that of the function.
    pub(super) name: &'static str,
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

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "custom",
        run: |x| {
            let (shape, doubled) = ((x.n(), x.d()), x.rows().iter().map(|x| 2.0 * x).collect());
            let backward = |gradient: &[f32]| vec![gradient.iter().map(|by_y| 2.0 * by_y).collect()];
            custom(vec![x], shape, doubled, backward).unwrap()
        },
        oracle: |x| x.of_each(|x| 2.0 * x),
    },
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
    Operation {
        name: "tokens_from_rows",
        run: |x| {
            let n = x.n();
            square(rows_from_tokens(tokens_from_rows(x, n).unwrap()).unwrap()).unwrap()
        },
        oracle: |x| x.of_each(|x| x * x),
    },
    Operation {
        name: "reshape_rows",
        run: |x| {
            let n = x.n() * x.d();
            square(reshape_rows(x, n).unwrap()).unwrap()
        },
        oracle: |x| x.of_each(|x| x * x),
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
        name: "plus of a matrix and its column",
        run: |x| {
            let (a, b) = fork(x);
            plus(a, slice_columns(b, 0..1).unwrap()).unwrap()
        },
        oracle: |x| Wide::made(x.n, x.d, |i, j| x.at(i, j) + x.at(i, 0)),
    },
    Operation {
        name: "minus of a row and its matrix",
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
