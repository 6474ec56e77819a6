//! Whether the device computes what the host computes.

use std::time::Instant;

use kernels_cpu::{Layout, Values, testing::noise};
use kernels_cuda::{synchronize, with_tensor_float};

use super::OnDevice as _;
use crate::{
    BatchNorm, Check, ConvAlgorithm, ConvGeometry, Device, FeatureMap, Mode, OpError, Parameter,
    ParameterKind, Precision, Recording, batch_norm_relu, conv2d, global_average_pool, max_pool,
    values::{AnyValues, Place},
    weighted_sum,
};

/// Images of the comparison, `(N, H, W, C)`; the batch is no multiple of a block's.
const SHAPE: [usize; 4] = [21, 12, 12, 16];

/// Runs operations on the device and on the host, on the same random numbers; with `timed`, times the device as well.
pub(crate) fn self_test(device: &Device, timed: bool) -> Result<Vec<Check>, OpError> {
    let host = encoder(device, Precision::F32, Place::Host)?;
    let mut checks = Vec::new();
    for (name, precision, is_tensor_float, limit) in [
        ("single precision", Precision::F32, false, 1e-4),
        ("TensorFloat-32", Precision::F32, true, 3e-2),
        ("bfloat16", Precision::Bf16, false, 3e-1),
    ] {
        let got = with_tensor_float(is_tensor_float, || encoder(device, precision, Place::Cuda))?;
        let error = got.iter().zip(&host).map(|(got, host)| distance(got, host)).fold(0.0, f64::max);
        let rate = match timed {
            true => Some(with_tensor_float(is_tensor_float, || rate(device, precision))?),
            false => None,
        };
        checks.push(Check { name, error, limit, rate });
    }
    Ok(checks)
}

/// Operations a second of a convolution as in the middle of a ResNet, its forward pass alone.
fn rate(device: &Device, precision: Precision) -> Result<f64, OpError> {
    const N_RUNS: u32 = 20;
    let (shape, side) = ([256, 16, 16, 256], 3);
    let weight = kernel(device, 2, side, 256, 256)?;
    let x = images(device, shape, Place::Cuda)?.with_precision(precision)?;
    let run = || {
        let x = x.share();
        conv2d(x, &weight, None, ConvGeometry::square(side, 1, 1), ConvAlgorithm::Direct).map(drop)
    };
    run()?;
    synchronize().computed()?;
    let start = Instant::now();
    for _ in 0..N_RUNS {
        run()?;
    }
    synchronize().computed()?;
    let operations = 2.0 * (256 * 16 * 16) as f64 * (side * side * 256) as f64 * 256.0;
    Ok(operations * f64::from(N_RUNS) / start.elapsed().as_secs_f64())
}

/// A convolution, batch norm with ReLU, a strided convolution, a pool: the output, and the gradients of the input and of both
/// kernels.
fn encoder(device: &Device, precision: Precision, place: Place) -> Result<[Vec<f32>; 4], OpError> {
    let [n, _, _, c] = SHAPE;
    let kernels = [kernel(device, 2, 3, c, 24)?, kernel(device, 3, 3, 24, 40)?];
    let mut norm = BatchNorm::new(device, 24)?;
    let x = images(device, SHAPE, place)?.with_precision(precision)?.requires_gradient();
    let input = x.share();
    let x = conv2d(x, &kernels[0], None, ConvGeometry::square(3, 1, 1), ConvAlgorithm::Direct)?;
    let x = batch_norm_relu(x, &mut norm, Mode::Train)?;
    let x = max_pool(x, ConvGeometry::square(3, 1, 1))?;
    let x = conv2d(x, &kernels[1], None, ConvGeometry::square(3, 2, 1), ConvAlgorithm::Direct)?;
    let y = global_average_pool(x)?;
    let values = crate::to_rows(&y);
    let mut gradients = crate::backward(weighted_sum(y, &noise(4, n * 40))?)?;
    let missing = || OpError::Device("a gradient did not arrive".into());
    Ok([
        values,
        input.gradient(&mut gradients)?.ok_or_else(missing)?,
        kernels[0].gradient(&mut gradients)?.ok_or_else(missing)?,
        kernels[1].gradient(&mut gradients)?.ok_or_else(missing)?,
    ])
}

fn images(device: &Device, shape: [usize; 4], place: Place) -> Result<FeatureMap, OpError> {
    let [n, h, w, c] = shape;
    let layout = Layout { n, h, w, c };
    let values = noise(1, layout.len());
    match place {
        Place::Cuda => FeatureMap::from_nhwc(device, shape, &values, Recording::start()),
        Place::Host => {
            let values = AnyValues::Host(Values::F32(layout.pack(&values)));
            Ok(FeatureMap::input(device, layout, values, Recording::start()))
        }
    }
}

fn kernel(device: &Device, seed: u32, side: usize, n_in: usize, n_out: usize) -> Result<Parameter, OpError> {
    let scale = (3.0 / (side * side * n_in) as f32).sqrt();
    let values = noise(seed, side * side * n_in * n_out).iter().map(|value| value * scale).collect();
    Parameter::new(device, ParameterKind::Kernel, &[side, side, n_in, n_out], values)
}

/// How far `got` is from `expected`, as a share of its length.
fn distance(got: &[f32], expected: &[f32]) -> f64 {
    if got.len() != expected.len() {
        return f64::INFINITY;
    }
    let square = |value: f32| f64::from(value) * f64::from(value);
    let error: f64 = got.iter().zip(expected).map(|(got, expected)| square(got - expected)).sum();
    let distance = (error / expected.iter().map(|&value| square(value)).sum::<f64>()).sqrt();
    if distance.is_nan() { f64::INFINITY } else { distance }
}
