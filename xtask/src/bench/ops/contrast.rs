//! The loss with a queue.

use tensor_ops::{Buffer, KeepLogits, Recording, features_from_rows, info_nce_queue, select_rows};

use super::{
    case::{Case, Pass, Place, Work, time},
    operands::noise,
};

/// MoCo v2's queue.
pub(super) fn cases() -> Vec<Case> {
    vec![info_nce(128, 128, 65536)]
}

/// The gradient is computed together with the loss, if the queries are recorded.
fn info_nce(n: usize, c: usize, n_negatives: usize) -> Case {
    let pass = |name, n_products: usize, start: fn() -> Recording| {
        Pass::new(name, Work::Flops(n_products * 2 * n * n_negatives * c), move |Place { device, .. }| {
            let rows = noise(n * c);
            let queue = Buffer::new(&[n_negatives, c], noise(n_negatives * c))?;
            let features = features_from_rows(device, (n, c), rows.clone(), Recording::Off)?;
            let keys = select_rows(&features, &(0..n).collect::<Vec<_>>())?;
            let device = device.clone();
            Ok(move || {
                let queries = features_from_rows(&device, (n, c), rows.clone(), start())?;
                time(|| info_nce_queue(queries, &keys, &queue, 0.2, KeepLogits::No))
            })
        })
    };
    Case {
        name: format!("InfoNCE {c} {n_negatives} keys b{n}"),
        passes: vec![pass("forward", 1, || Recording::Off), pass("both", 2, Recording::start)],
    }
}
