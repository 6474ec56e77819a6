//! Rows that do not lie one after the other: dfdx's permuted, broadcast and sliced matrices.

use dfdx::{
    shapes::{Axes2, Axis},
    tensor::SplitTape as _,
    tensor_ops::{BroadcastTo as _, PermuteTo as _},
};

use super::*;
use crate::{
    BatchNorm, Mode, Scalar, batch_norm_features, info_nce_in_batch, loss_with_gradient, mean_all, sum_all,
    testing::gradient_of, top1_row,
};

pub(super) const N: usize = 4;
pub(super) const D: usize = 3;

/// A matrix `(N, D)` made of another one, and where each of its values, row after row, comes from.
pub(super) struct View {
    pub(super) name: &'static str,
    pub(super) shape: (usize, usize),
    pub(super) make: fn(Features) -> Features,
    pub(super) source: fn(usize, usize) -> usize,
}

const VIEWS: [View; 4] = [
    View {
        name: "permuted",
        shape: (D, N),
        make: |x| x.permute::<_, Axes2<1, 0>>(),
        source: |row, column| column * N + row,
    },
    View {
        name: "one row for all",
        shape: (1, D),
        make: |x| {
            let (x, recording) = x.split_tape();
            let row: dfdx::tensor::Tensor<(usize,), f32, Device, Recording> =
                dfdx::tensor_ops::ReshapeTo::reshape_like(x.put_tape(recording), &(D,));
            row.broadcast_like::<_, Axis<0>>(&(N, D))
        },
        source: |_, column| column,
    },
    View {
        name: "one column for all",
        shape: (N, 1),
        make: |x| {
            let column: dfdx::tensor::Tensor<(usize,), f32, Device, Recording> =
                dfdx::tensor_ops::ReshapeTo::reshape_like(x, &(N,));
            column.broadcast_like::<_, Axis<1>>(&(N, D))
        },
        source: |row, _| row,
    },
    View {
        name: "sliced",
        shape: (N + 2, D + 1),
        make: |x| x.slice((1..=N, 1..=D)),
        source: |row, column| (row + 1) * (D + 1) + column + 1,
    },
];

/// Those that can be made: slices are kernels of dfdx on the device, which an emulated driver has not.
pub(super) fn views() -> impl Iterator<Item = View> {
    VIEWS.into_iter().filter(|view| !cfg!(feature = "cuda-emulated") || view.name != "sliced")
}

/// An operation that ends in a loss, and the same in double precision.
pub(super) struct Operation {
    /// That of the function.
    pub(super) name: &'static str,
    loss: fn(Features) -> Scalar,
    oracle: fn(&[f64]) -> f64,
}

fn weights() -> Vec<f32> {
    noise(7, N * D)
}

fn unit_rows(x: &[f64]) -> Vec<f64> {
    x.chunks(D)
        .flat_map(|row| {
            let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            row.iter().map(move |value| value / length).collect::<Vec<_>>()
        })
        .collect()
}

fn layer() -> (Parameter, Vec<f32>) {
    let weight = noise(8, D * D);
    (crate::testing::weight_matrix(D, D, &weight), weight)
}

fn keys() -> Vec<f32> {
    unit_rows(&wide(&noise(9, N * D))).into_iter().map(|value| value as f32).collect()
}

/// The mean of `logsumexp(logits) - logits[own]`.
fn cross_entropy(logits: &[Vec<f64>], own: fn(usize) -> usize) -> f64 {
    let of_row =
        |(i, row): (usize, &Vec<f64>)| row.iter().map(|logit| logit.exp()).sum::<f64>().ln() - row[own(i)];
    logits.iter().enumerate().map(of_row).sum::<f64>() / logits.len() as f64
}

fn dot(a: &[f64], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, &b)| a * f64::from(b)).sum()
}

pub(super) const OPERATIONS: [Operation; 11] = [
    Operation {
        name: "weighted_sum",
        loss: |x| weighted_sum(x, &weights()).unwrap(),
        oracle: |x| weighted(x, &weights()),
    },
    Operation {
        name: "sum_weighted_by",
        loss: |x| sum_weighted_by(x, &matrix((N, D), &weights())).unwrap(),
        oracle: |x| weighted(x, &weights()),
    },
    Operation {
        name: "loss_with_gradient",
        loss: |x| loss_with_gradient(x, 1.0, weights()).unwrap(),
        oracle: |x| weighted(x, &weights()),
    },
    Operation { name: "sum_all", loss: |x| sum_all(x).unwrap(), oracle: |x| x.iter().sum() },
    Operation {
        name: "mean_all",
        loss: |x| mean_all(x).unwrap(),
        oracle: |x| x.iter().sum::<f64>() / x.len() as f64,
    },
    Operation {
        name: "relu_features",
        loss: |x| weighted_sum(relu_features(x).unwrap(), &weights()).unwrap(),
        oracle: |x| weighted(&x.iter().map(|value| value.max(0.0)).collect::<Vec<_>>(), &weights()),
    },
    Operation {
        name: "l2_normalize",
        loss: |x| weighted_sum(l2_normalize(x).unwrap(), &weights()).unwrap(),
        oracle: |x| weighted(&unit_rows(x), &weights()),
    },
    Operation {
        name: "linear",
        loss: |x| weighted_sum(linear(x, &layer().0, None).unwrap(), &weights()).unwrap(),
        oracle: |x| {
            let weight = layer().1;
            let at =
                |i: usize| (0..D).map(|k| x[i / D * D + k] * f64::from(weight[k * D + i % D])).sum::<f64>();
            weighted(&(0..N * D).map(at).collect::<Vec<_>>(), &weights())
        },
    },
    Operation {
        name: "batch_norm_features",
        loss: |x| {
            let mut norm = BatchNorm::without_affine(D);
            // One column for all has columns of one variance; one row for all has none, but for this.
            norm.eps = 0.1;
            weighted_sum(batch_norm_features(x, &mut norm, Mode::Train).unwrap(), &weights()).unwrap()
        },
        oracle: |x| {
            let column = |j: usize| x.iter().skip(j).step_by(D).copied();
            let mean = |j: usize| column(j).sum::<f64>() / N as f64;
            let var = |j: usize| column(j).map(|value| (value - mean(j)).powi(2)).sum::<f64>() / N as f64;
            let at = |i: usize| (x[i] - mean(i % D)) / (var(i % D) + 0.1).sqrt();
            weighted(&(0..N * D).map(at).collect::<Vec<_>>(), &weights())
        },
    },
    Operation {
        name: "info_nce_queue",
        loss: |x| {
            let (keys, queue) = (matrix((N, D), &keys()), buffer(&noise(10, 5 * D), D));
            info_nce_queue(x, &keys, &queue, 0.5, KeepLogits::No).unwrap().loss
        },
        oracle: |x| {
            let (keys, queue) = (keys(), noise(10, 5 * D));
            let logits: Vec<Vec<f64>> = x
                .chunks(D)
                .enumerate()
                .map(|(i, q)| {
                    let candidates = std::iter::once(&keys[i * D..][..D]).chain(queue.chunks(D));
                    candidates.map(|key| dot(q, key) / 0.5).collect()
                })
                .collect();
            cross_entropy(&logits, |_| 0)
        },
    },
    Operation {
        name: "info_nce_in_batch",
        loss: |x| info_nce_in_batch(x, &matrix((N, D), &keys()), 0, 0.5, KeepLogits::No).unwrap().loss,
        oracle: |x| {
            let keys = keys();
            let row = |q: &[f64]| keys.chunks(D).map(|key| dot(q, key) / 0.5).collect();
            cross_entropy(&x.chunks(D).map(row).collect::<Vec<_>>(), |i| i)
        },
    },
];

#[test]
fn every_operation_takes_rows_of_any_strides() {
    for View { name, shape, make, source } in views() {
        let base = noise(5, shape.0 * shape.1);
        let view = |base: &[f64]| -> Vec<f64> { (0..N * D).map(|i| base[source(i / D, i % D)]).collect() };
        for operation in &OPERATIONS {
            let what = format!("{} of {name}", operation.name);
            let (input, recorded) = named_rows(shape, &base);
            let loss = (operation.loss)(make(recorded));
            let got = gradient_of(&input, &mut backward(loss).unwrap());
            let expected = differences(|base| (operation.oracle)(&view(base)), &wide(&base));
            assert_close(&what, &got, &expected, 1e-3);
        }
    }
}

#[test]
fn every_operation_reads_rows_of_any_strides() {
    for View { name, shape, make, source } in views() {
        let base = noise(5, shape.0 * shape.1);
        let expected: Vec<f32> = (0..N * D).map(|i| base[source(i / D, i % D)]).collect();
        let made = || make(named_rows(shape, &base).1);
        assert_eq!(made().rows(), expected, "{name}");
        let in_order = features_from_rows(&Device::default(), (N, D), expected.clone(), Recording::Off);
        assert_eq!(top1_row(&made()), top1_row(&in_order.unwrap()), "{name}");
        let plain = made().split_tape().0;
        assert_eq!(to_rows(&select_rows(&plain, &[2, 0]).unwrap())[..D], expected[2 * D..3 * D], "{name}");
        assert_eq!(to_rows(&concat_rows(&[&plain, &plain]).unwrap())[N * D..], expected, "{name}");
        let mut written = Buffer::zeros(&[N, D]);
        written.write_rows(0, &plain).unwrap();
        assert_eq!(written.to_vec(), expected, "{name}");
        for operation in &OPERATIONS[..2] {
            let loss = dfdx::tensor::AsArray::array(&(operation.loss)(made()));
            assert!((f64::from(loss) - (operation.oracle)(&wide(&expected))).abs() < 1e-5, "{name}");
        }
    }
}
