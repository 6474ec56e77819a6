//! The parts of a transformer's block.

use criterion::{BatchSize, Criterion};
use tensor_ops::{
    Device, LayerNorm, OpError, ParameterKind, Recording, Scalar, Tokens, attention, backward, layer_norm,
    linear_gelu_tokens, linear_tokens, mean_tokens, weighted_sum,
};

use crate::operands::{parameter, tokens};

/// Blocks of MoCo v3 on 32 px, and of ViT-S on 224 px.
pub(crate) fn bench(criterion: &mut Criterion) {
    for (n, t, d, heads) in [(16, 65, 192, 3), (4, 197, 384, 12)] {
        let norm = LayerNorm::new(&Device::default(), d, 1e-6).expect("the CPU does not fail");
        let weight = parameter(ParameterKind::Matrix, &[d, 4 * d]);
        let bias = parameter(ParameterKind::Vector, &[4 * d]);
        let mut both = |name: &str, width, operation: &dyn Fn(Tokens) -> Result<Tokens, OpError>| {
            both_passes(criterion, &format!("{name} {d} {t}t"), &tokens([n, t, width]), operation);
        };
        both("layer norm", d, &|x| layer_norm(x, &norm));
        both("linear", d, &|x| linear_tokens(x, &weight, Some(&bias)));
        both("linear+GELU", d, &|x| linear_gelu_tokens(x, &weight, Some(&bias)));
        both("attention", 3 * d, &|x| attention(x, heads));
    }
}

fn both_passes(
    criterion: &mut Criterion,
    name: &str,
    x: &Tokens,
    operation: &dyn Fn(Tokens) -> Result<Tokens, OpError>,
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

fn loss(y: Tokens) -> Result<Scalar, OpError> {
    let n_values = y.n() * y.d();
    weighted_sum(mean_tokens(y, 0)?, &vec![1.0; n_values])
}
