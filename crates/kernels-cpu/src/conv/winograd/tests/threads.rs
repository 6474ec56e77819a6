//! The same bits for any number of threads.

use rayon::ThreadPoolBuilder;

use super::{Case, SAME};
use crate::{Precision, conv::ConvAlgorithm, testing::families};

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let cases = [
        Case::new([37, 8, 9, 32], 48, SAME),
        // Few tiles of many channels.
        Case::new([18, 4, 4, 160], 144, SAME),
    ];
    for case in cases {
        for (family, precision) in
            families().into_iter().flat_map(|family| [Precision::F32, Precision::Bf16].map(|p| (family, p)))
        {
            let run = |n_threads: usize| {
                let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                let outcome = pool.install(|| case.run(family, ConvAlgorithm::Winograd, precision));
                let values = [outcome.y, outcome.x, outcome.weight].concat();
                values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let one = run(1);
            for n_threads in [2, 64] {
                assert!(
                    one == run(n_threads),
                    "{}, {family:?}, {precision:?}, {n_threads} threads",
                    case.name()
                );
            }
        }
    }
}
