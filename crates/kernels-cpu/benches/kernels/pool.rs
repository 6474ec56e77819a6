//! The max pool of a ResNet's stem.

use criterion::Criterion;
use kernels_cpu::{
    ConvGeometry, Family, Layout,
    pool::{largest, largest_gradient},
};

use crate::operands::{PRECISIONS, values};

pub(crate) fn bench(criterion: &mut Criterion) {
    let (from, geometry) = (Layout { n: 16, h: 112, w: 112, c: 64 }, ConvGeometry::square(3, 2, 1));
    let to = Layout { h: 56, w: 56, ..from };
    for (precision_name, precision) in PRECISIONS {
        let (x, gradient) = (values(from.len(), precision), values(to.len(), precision));
        let family = Family::detected();
        let mut group = criterion.benchmark_group(format!("max pool 64 112px {precision_name}"));
        group.bench_function("forward", |bencher| {
            bencher.iter(|| largest(family, geometry, from, to, &x));
        });
        let (_, taps) = largest(family, geometry, from, to, &x);
        group.bench_function("backward", |bencher| {
            bencher.iter(|| largest_gradient(family, geometry, from, to, &taps, &gradient));
        });
        group.finish();
    }
}
