//! Convolutions, as in ResNet-18 on 32 px, and in ResNet-50 and ResNeXt-50 on 224 px.

use criterion::Criterion;
use kernels_cpu::{
    ConvGeometry, Family, Layout,
    conv::{ConvAlgorithm, Convolution},
};

use crate::operands::{PRECISIONS, noise, values};

/// Images, side, channels in and out, kernel, stride, groups.
const SHAPES: [[usize; 7]; 16] = [
    [32, 32, 64, 64, 3, 1, 1],
    [32, 4, 512, 512, 3, 1, 1],
    [32, 32, 16, 16, 3, 1, 1],
    [16, 28, 128, 128, 3, 1, 1],
    [32, 16, 128, 256, 3, 2, 1],
    [16, 56, 64, 256, 1, 1, 1],
    [16, 56, 256, 64, 1, 1, 1],
    [16, 14, 1024, 256, 1, 1, 1],
    [16, 56, 256, 512, 1, 2, 1],
    [16, 224, 3, 64, 7, 2, 1],
    [32, 32, 3, 64, 3, 1, 1],
    [16, 56, 128, 128, 3, 1, 32],
    [16, 56, 256, 256, 3, 2, 32],
    [16, 14, 512, 512, 3, 1, 32],
    [16, 7, 1024, 1024, 3, 1, 32],
    [16, 56, 128, 128, 3, 1, 128],
];

pub(crate) fn bench(criterion: &mut Criterion) {
    for [n, side, n_in, n_out, kernel, stride, groups] in SHAPES {
        for (precision_name, precision) in PRECISIONS {
            let geometry = ConvGeometry::square(kernel, stride, kernel / 2);
            let (h, w) = geometry.output(side, side).expect("the kernel fits");
            let from = Layout { n, h: side, w: side, c: n_in };
            let to = Layout { n, h, w, c: n_out };
            let conv =
                Convolution::new(Family::detected(), ConvAlgorithm::Auto, precision, geometry, from, to)
                    .in_groups(groups);
            let weight = noise(kernel * kernel * n_in / groups * n_out);
            let (x, gradient) = (values(from.len(), precision), values(to.len(), precision));
            let among = if groups > 1 { format!(" in {groups} groups") } else { String::new() };
            let name =
                format!("conv{kernel}x{kernel} {n_in}-{n_out}{among} {side}px /{stride} {precision_name}");
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
