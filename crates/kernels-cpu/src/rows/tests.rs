use rayon::ThreadPoolBuilder;

use super::{TASK_COLUMNS, add, sum};
use crate::{
    Precision, Values,
    testing::{assert_close, families, noise, wide},
};

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// Of one task and of several, with whole registers and without, of less than a task's columns and of more.
const SHAPES: [(usize, usize); 7] =
    [(1, 1), (3, 5), (7, 48), (1001, 33), (4099, 64), (9, TASK_COLUMNS + 17), (70, 2 * TASK_COLUMNS + 1)];

#[test]
fn sums_of_rows_agree_with_double_precision() {
    for family in families() {
        for (n, c) in SHAPES {
            for precision in PRECISIONS {
                let values = Values::new(noise(1, n * c), precision);
                let mut expected = vec![0.0; c];
                for row in wide(&values.whole()).chunks(c) {
                    expected.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
                let got = sum(family, values.lend(), c);
                assert_close(&format!("{family:?} {n} {c} {precision:?}"), &got, &expected, 2e-6);
            }
        }
    }
}

#[test]
fn a_row_is_added_to_every_row() {
    for family in families() {
        for (n, c) in SHAPES.into_iter().chain([(2, 40_000)]) {
            for precision in PRECISIONS {
                let row = noise(2, c);
                let mut values = Values::new(noise(1, n * c), precision);
                let sums = values
                    .whole()
                    .iter()
                    .zip(row.iter().cycle())
                    .map(|(value, added)| value + added)
                    .collect();
                let expected = Values::new(sums, precision);
                add(family, &mut values, &row);
                assert!(values.whole() == expected.whole(), "{family:?} {n} {c} {precision:?}");
            }
        }
    }
}

#[test]
fn sums_do_not_depend_on_the_number_of_threads() {
    let values = Values::F32(noise(1, 4099 * 64));
    for family in families() {
        let run = |n_threads: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| sum(family, values.lend(), 64))
        };
        let expected = run(1);
        assert_eq!(run(2), expected, "{family:?}");
        assert_eq!(run(64), expected, "{family:?}");
    }
}
