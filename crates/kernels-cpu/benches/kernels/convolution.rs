//! Convolutions, as in ResNet-18 on 32 px and in ResNet-50 on 224 px.

use criterion::Criterion;
use kernels_cpu::{
    ConvGeometry, Family, Layout,
    conv::{ConvAlgorithm, Convolution},
};

use crate::operands::{PRECISIONS, noise, values};

/// Images, side, channels in and out, kernel, stride.
const SHAPES: [[usize; 6]; 11] = [
    [32, 32, 64, 64, 3, 1],
    [32, 4, 512, 512, 3, 1],
    [32, 32, 16, 16, 3, 1],
    [16, 28, 128, 128, 3, 1],
    [32, 16, 128, 256, 3, 2],
    [16, 56, 64, 256, 1, 1],
    [16, 56, 256, 64, 1, 1],
    [16, 14, 1024, 256, 1, 1],
    [16, 56, 256, 512, 1, 2],
    [16, 224, 3, 64, 7, 2],
    [32, 32, 3, 64, 3, 1],
];

pub(crate) fn bench(criterion: &mut Criterion) {
    for [n, side, n_in, n_out, kernel, stride] in SHAPES {
        for (precision_name, precision) in PRECISIONS {
            let geometry = ConvGeometry::square(kernel, stride, kernel / 2);
            let (h, w) = geometry.output(side, side).expect("the kernel fits");
            let from = Layout { n, h: side, w: side, c: n_in };
            let to = Layout { n, h, w, c: n_out };
            let conv =
                Convolution::new(Family::detected(), ConvAlgorithm::Auto, precision, geometry, from, to);
            let weight = noise(kernel * kernel * n_in * n_out);
            let (x, gradient) = (values(from.len(), precision), values(to.len(), precision));
            let name = format!("conv{kernel}x{kernel} {n_in}-{n_out} {side}px /{stride} {precision_name}");
            let mut group = criterion.benchmark_group(name);
            group.bench_function("forward", |bencher| bencher.iter(|| conv.forward(&weight, &x, None, true)));
            if n_in > 3 {
                group.bench_function("data", |bencher| {
                    bencher.iter(|| conv.data_gradient(&weight, &gradient, None));
                });
            }
            group.bench_function("weights", |bencher| bencher.iter(|| conv.weight_gradient(&x, &gradient)));
            group.finish();
        }
    }
}
