//! InfoNCE against a queue.

use criterion::{BatchSize, Criterion};
use tensor_ops::{Buffer, Device, KeepLogits, Recording, features_from_rows, info_nce_queue, select_rows};

use crate::operands::noise;

pub(crate) fn bench(criterion: &mut Criterion) {
    let (n, c, n_negatives) = (64, 128, 16384);
    let rows = noise(n * c);
    let queue =
        Buffer::new(&[n_negatives, c], noise(n_negatives * c)).expect("there is a value for each place");
    let queries = |recording| features_from_rows(&Device::default(), (n, c), rows.clone(), recording);
    let keys = queries(Recording::Off)
        .and_then(|queries| select_rows(&queries, &(0..n).collect::<Vec<_>>()))
        .expect("there is a value for each place");
    // Its gradient is computed with it.
    criterion.bench_function("InfoNCE with its gradient", |bencher| {
        let loss = |queries| info_nce_queue(queries, &keys, &queue, 0.2, KeepLogits::No);
        bencher.iter_batched(|| queries(Recording::start()), |q| q.and_then(loss), BatchSize::PerIteration);
    });
}
