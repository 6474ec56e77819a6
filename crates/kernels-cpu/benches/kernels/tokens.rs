//! The parts of a transformer's block.

use criterion::{BatchSize, Criterion};
use kernels_cpu::{
    Family, Precision, Values,
    matrix::{Packed, RowsProduct, Side, outer_products},
    tokens::{
        attention::{self, Sizes},
        layer_norm::LayerNorm,
    },
};

use crate::operands::{PRECISIONS, noise, values};

/// Blocks of MoCo v3 on 32 px, and of ViT-S on 224 px.
pub(crate) fn bench(criterion: &mut Criterion) {
    for (n, t, d, heads) in [(64, 65, 192, 3), (16, 197, 384, 12)] {
        for (name, precision) in PRECISIONS {
            let name = format!("{d} {t}t {name}");
            attend(criterion, &name, precision, n, Sizes { t, heads, dh: d / heads });
            multiply(criterion, &name, precision, (n * t, d, 4 * d));
            normalize(criterion, &name, precision, (n * t, d));
        }
    }
}

fn attend(criterion: &mut Criterion, name: &str, precision: Precision, n: usize, sizes: Sizes) {
    let family = Family::detected();
    let qkv = values(n * sizes.t * sizes.width(), precision);
    let gradient = values(n * sizes.t * sizes.d(), precision);
    let (_, normalizers) = attention::forward(family, sizes, &qkv);
    let mut group = criterion.benchmark_group(format!("attention {name}"));
    group.bench_function("forward", |bencher| bencher.iter(|| attention::forward(family, sizes, &qkv)));
    group.bench_function("backward", |bencher| {
        bencher.iter(|| attention::backward(family, sizes, &qkv, &normalizers, &gradient));
    });
    group.finish();
}

fn multiply(
    criterion: &mut Criterion,
    name: &str,
    precision: Precision,
    (n_rows, n_in, n_out): (usize, usize, usize),
) {
    let family = Family::detected();
    let (weight, bias) = (noise(n_in * n_out), noise(n_out));
    let (x, gradient) = (values(n_rows * n_in, precision), Values::F32(noise(n_rows * n_out)));
    let mut group = criterion.benchmark_group(format!("linear {name}"));
    group.bench_function("forward", |bencher| {
        bencher.iter(|| {
            let packed = Packed::new(family, Side::plain(&weight, n_in, n_out), precision);
            RowsProduct { packed: &packed, bias: Some(&bias), residual: None }.multiply(x.lend(), precision)
        });
    });
    group.bench_function("forward with GELU", |bencher| {
        bencher.iter(|| {
            let packed = Packed::new(family, Side::plain(&weight, n_in, n_out), precision);
            RowsProduct { packed: &packed, bias: Some(&bias), residual: None }
                .multiply_gelu(x.lend(), precision)
        });
    });
    group.bench_function("data", |bencher| {
        bencher.iter(|| {
            let packed = Packed::new(family, Side::transposed(&weight, n_in, n_out), precision);
            RowsProduct::plain(&packed).multiply(gradient.lend(), Precision::F32)
        });
    });
    group.bench_function("weights", |bencher| {
        bencher.iter(|| outer_products(family, (x.lend(), n_in), (gradient.lend(), n_out), true));
    });
    group.finish();
}

fn normalize(criterion: &mut Criterion, name: &str, precision: Precision, (n_rows, d): (usize, usize)) {
    let family = Family::detected();
    let (scale, shift) = (noise(d), noise(d));
    let x = values(n_rows * d, precision);
    let norm = LayerNorm { scale: &scale, eps: 1e-6 };
    let mut group = criterion.benchmark_group(format!("layer norm {name}"));
    group.bench_function("forward", |bencher| bencher.iter(|| norm.forward(family, &x, &shift)));
    group.bench_function("backward", |bencher| {
        let gradient = || values(n_rows * d, precision);
        bencher.iter_batched(
            gradient,
            |gradient| norm.backward(family, &x, gradient, None),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
