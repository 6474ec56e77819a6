//! Batch norm with ReLU.

use criterion::{BatchSize, Criterion};
use kernels_cpu::{
    Family, Layout,
    norm::{Affine, Backward, Coefficients, Groups, Statistics, Tail, Wanted, apply},
};

use crate::operands::{PRECISIONS, noise, values};

pub(crate) fn bench(criterion: &mut Criterion) {
    for [n, side, c] in [[32, 32, 64], [16, 56, 256], [16, 7, 2048]] {
        for (precision_name, precision) in PRECISIONS {
            let layout = Layout { n, h: side, w: side, c };
            let groups = Groups { layout, splits: 1 };
            let x = values(layout.len(), precision);
            let scale = noise(c);
            let affine = Affine { scale: Some(&scale), shift: None, eps: 1e-5 };
            let family = Family::detected();
            let statistics = Statistics::of(family, &x, groups);
            let coefficients = Coefficients::new(&statistics, affine);
            let mut group = criterion.benchmark_group(format!("batch norm {c} {side}px {precision_name}"));
            group.bench_function("statistics", |bencher| bencher.iter(|| Statistics::of(family, &x, groups)));
            group.bench_function("apply", |bencher| {
                bencher.iter(|| apply(family, groups, &coefficients, &x, None, Tail::Relu));
            });
            let backward = Backward {
                family,
                groups,
                x: &x,
                tail: Tail::Relu,
                output: None,
                statistics: &statistics,
                coefficients: &coefficients,
            };
            group.bench_function("backward", |bencher| {
                let gradient = || values(layout.len(), precision);
                bencher.iter_batched(
                    gradient,
                    |gradient| backward.run(gradient, Wanted { x: true, masked: false }),
                    BatchSize::PerIteration,
                );
            });
            // The end of a residual block.
            let residual = values(layout.len(), precision);
            group.bench_function("apply to residual", |bencher| {
                bencher.iter(|| apply(family, groups, &coefficients, &x, Some(&residual), Tail::Relu));
            });
            let output = apply(family, groups, &coefficients, &x, Some(&residual), Tail::Relu);
            let backward = Backward { output: Some(&output), ..backward };
            group.bench_function("backward of residual", |bencher| {
                let gradient = || values(layout.len(), precision);
                bencher.iter_batched(
                    gradient,
                    |gradient| backward.run(gradient, Wanted { x: true, masked: true }),
                    BatchSize::PerIteration,
                );
            });
            group.finish();
        }
    }
}
