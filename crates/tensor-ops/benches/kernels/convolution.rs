//! Convolution and batch norm with ReLU.

use criterion::{BatchSize, Criterion};
use tensor_ops::{
    BatchNorm, ConvAlgorithm, ConvGeometry, Device, FeatureMap, Mode, OpError, ParameterKind, Recording,
    Scalar, backward, batch_norm_relu, conv2d, global_average_pool, weighted_sum,
};

use crate::operands::{images, parameter};

pub(crate) fn bench(criterion: &mut Criterion) {
    for (n, side, n_in, n_out, kernel, stride) in [
        (32, 32, 64, 64, 3, 1),
        (32, 4, 512, 512, 3, 1),
        (32, 32, 16, 16, 3, 1),
        (32, 16, 128, 256, 3, 2),
        (4, 56, 256, 64, 1, 1),
    ] {
        let geometry = ConvGeometry::square(kernel, stride, kernel / 2);
        let x = images([n, side, side, n_in]);
        let weight = parameter(ParameterKind::Kernel, &[kernel, kernel, n_in, n_out]);
        let name = format!("conv{kernel}x{kernel} {n_in}-{n_out} {side}px /{stride}");
        both_passes(criterion, &name, &x, |x| conv2d(x, &weight, None, geometry, ConvAlgorithm::Auto));
    }
    let mut norm = BatchNorm::new(&Device::default(), 64).expect("the CPU does not fail");
    let x = images([32, 32, 32, 64]);
    both_passes(criterion, "batch norm 64 32px", &x, |x| batch_norm_relu(x, &mut norm, Mode::Train));
}

fn both_passes(
    criterion: &mut Criterion,
    name: &str,
    x: &FeatureMap,
    mut operation: impl FnMut(FeatureMap) -> Result<FeatureMap, OpError>,
) {
    let mut group = criterion.benchmark_group(name);
    group.bench_function("forward", |bencher| bencher.iter(|| operation(x.share())));
    // The backward pass of the mean, which brings the gradient, is in the time.
    group.bench_function("backward", |bencher| {
        let recorded = || operation(x.share().with_recording(Recording::start())).and_then(loss);
        bencher.iter_batched(recorded, |loss| loss.and_then(backward), BatchSize::PerIteration);
    });
    group.finish();
}

fn loss(y: FeatureMap) -> Result<Scalar, OpError> {
    let n_values = y.n() * y.c();
    weighted_sum(global_average_pool(y)?, &vec![1.0; n_values])
}
