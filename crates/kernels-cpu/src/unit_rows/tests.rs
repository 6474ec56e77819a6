//! Rows of unit length, against double precision.

use rayon::ThreadPoolBuilder;

use super::{MIN_LENGTH, backward, normalize};
use crate::testing::{assert_close, differences, families, noise, weighted, wide};

fn oracle(x: &[f64], d: usize) -> Vec<f64> {
    let normalized = |row: &[f64]| {
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::from(MIN_LENGTH));
        row.iter().map(|value| value / length).collect::<Vec<_>>()
    };
    x.chunks(d).flat_map(normalized).collect()
}

#[test]
fn rows_get_unit_length_and_gradients_agree_with_differences() {
    for (n, d) in [(1, 1), (3, 7), (5, 16), (4, 33)] {
        let (x, weights) = (noise(1, n * d), noise(2, n * d));
        let by_x = differences(|x| weighted(&oracle(x, d), &weights), &wide(&x));
        for family in families() {
            let (mut y, mut gradient) = (x.clone(), weights.clone());
            let lengths = normalize(family, &mut y, d);
            assert_close(&format!("{family:?}"), &y, &oracle(&wide(&x), d), 1e-6);
            backward(family, &mut gradient, &y, &lengths);
            assert_close(&format!("{family:?}"), &gradient, &by_x, 1e-5);
        }
    }
}

#[test]
fn a_row_without_length_is_only_scaled() {
    for family in families() {
        let (mut y, mut gradient) = (vec![0.0; 20], vec![1.0; 20]);
        let lengths = normalize(family, &mut y, 20);
        assert_eq!((&y, &lengths), (&vec![0.0; 20], &vec![MIN_LENGTH]));
        backward(family, &mut gradient, &y, &lengths);
        assert_eq!(gradient, [1.0 / MIN_LENGTH; 20]);
    }
}

#[test]
fn results_depend_neither_on_the_number_of_threads_nor_on_the_family() {
    let (n, d) = (700, 50);
    let run = |family, n_threads: usize| {
        ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap().install(|| {
            let (mut y, mut gradient) = (noise(1, n * d), noise(2, n * d));
            let lengths = normalize(family, &mut y, d);
            backward(family, &mut gradient, &y, &lengths);
            [y, lengths, gradient].concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    let expected = run(families()[0], 1);
    for family in families() {
        assert!([1, 2, 64].into_iter().all(|n_threads| run(family, n_threads) == expected), "{family:?}");
    }
}

#[test]
fn a_row_with_what_is_not_a_number_is_not_a_number() {
    for family in families() {
        let mut y = vec![3.0, f32::NAN, 4.0, 3.0, 0.0, 4.0];
        let lengths = normalize(family, &mut y, 3);
        assert!(y[..3].iter().chain(&lengths[..1]).all(|value| value.is_nan()), "{family:?}: {y:?}");
        assert_eq!((&y[3..], lengths[1]), (&[0.6, 0.0, 0.8][..], 5.0));
        let mut gradient = vec![1.0; 6];
        backward(family, &mut gradient, &y, &lengths);
        assert!(gradient[..3].iter().all(|value| value.is_nan()), "{family:?}: {gradient:?}");
        assert!(gradient[3..].iter().all(|value| value.is_finite()), "{family:?}: {gradient:?}");
    }
}
