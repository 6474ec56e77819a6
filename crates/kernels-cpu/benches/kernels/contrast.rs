//! Contrastive losses.

use criterion::Criterion;
use kernels_cpu::{
    Family,
    contrast::{Setting, against_queue, in_batch},
};

use crate::operands::noise;

pub(crate) fn bench(criterion: &mut Criterion) {
    let (n, c, n_negatives) = (64, 128, 16384);
    let (queries, keys, queue) = (noise(n * c), noise(n * c), noise(n_negatives * c));
    let family = Family::detected();
    let setting = Setting { temperature: 0.2, wants_gradient: true, keeps_logits: false };
    criterion.bench_function("InfoNCE against a queue", |bencher| {
        bencher.iter(|| against_queue(family, (&queries, c), &keys, &queue, setting));
    });
    let keys = noise(1024 * c);
    criterion.bench_function("InfoNCE in a batch", |bencher| {
        bencher.iter(|| in_batch(family, (&queries, c), &keys, 0, setting));
    });
}
