//! Operations whose gradient their caller computes.

use super::*;
use crate::{constant, custom, sum_all, testing::gradient_of};

/// `a^2 + 3 b`, value by value.
fn of_two(a: Features, b: Features) -> Features {
    let (shape, values) = ((a.n(), a.d()), a.rows());
    let y = values.iter().zip(b.rows()).map(|(a, b)| a * a + 3.0 * b).collect();
    let backward = move |gradient: &[f32]| {
        let by_a = gradient.iter().zip(&values).map(|(gradient, a)| gradient * 2.0 * a).collect();
        vec![by_a, gradient.iter().map(|gradient| 3.0 * gradient).collect()]
    };
    custom(vec![a, b], shape, y, backward).unwrap()
}

#[test]
fn each_input_gets_its_gradient() {
    let (a, b, weights) = (noise(1, 6), noise(2, 6), noise(3, 6));
    let ((a_name, a_recorded), (b_name, b_recorded)) = (named_rows((2, 3), &a), named_rows((2, 3), &b));
    let y = of_two(a_recorded, b_recorded);
    let oracle = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * a + 3.0 * b).collect::<Vec<_>>();
    assert_close("value", &y.rows(), &oracle(&wide(&a), &wide(&b)), 1e-6);
    let mut gradients = backward_weighted_rows(y, &weights);
    let by_a = differences(|a| weighted(&oracle(a, &wide(&b)), &weights), &wide(&a));
    assert_close("first", &gradient_of(&a_name, &mut gradients), &by_a, 1e-5);
    let by_b = differences(|b| weighted(&oracle(&wide(&a), b), &weights), &wide(&b));
    assert_close("second", &gradient_of(&b_name, &mut gradients), &by_b, 1e-5);
}

#[test]
fn what_is_not_recorded_gets_none() {
    let ((a_name, a), b) = (named_rows((2, 3), &noise(1, 6)), matrix((2, 3), &noise(2, 6)));
    let mut gradients = backward(sum_all(of_two(a, constant(&b))).unwrap()).unwrap();
    let doubled: Vec<f32> = noise(1, 6).iter().map(|a| 2.0 * a).collect();
    assert_eq!(gradient_of(&a_name, &mut gradients), doubled);
    assert_eq!(gradient_of(&b, &mut gradients), [0.0; 6]);
    // Its gradient may be left out.
    let (name, x) = named_rows((1, 2), &[1.0, 2.0]);
    let y = custom(vec![constant(&b), x], (1, 1), vec![0.0], |_| vec![Vec::new(), vec![5.0, 6.0]]).unwrap();
    assert_eq!(gradient_of(&name, &mut backward(sum_all(y).unwrap()).unwrap()), [5.0, 6.0]);
    // Nothing is kept of what nobody records.
    let y = custom(vec![constant(&b)], (1, 1), vec![7.0], |_| unreachable!("nothing is recorded")).unwrap();
    assert_eq!(y.rows(), [7.0]);
    assert!(!y.split_recording().1.is_on());
}

#[test]
fn gradients_that_do_not_fit_end_the_backward_pass() {
    let failed = |given: Vec<Vec<f32>>| {
        let ((_, a), (_, b)) = (named_rows((2, 3), &noise(1, 6)), named_rows((1, 2), &noise(2, 2)));
        let y = custom(vec![a, b], (1, 1), vec![0.0], move |_| given).unwrap();
        backward(sum_all(y).unwrap()).unwrap_err().to_string()
    };
    assert_eq!(
        failed(vec![vec![0.0; 6]]),
        "the backward pass of `custom`: number of gradients, one for each input, must be 2, got 1"
    );
    assert_eq!(
        failed(vec![vec![0.0; 6], vec![0.0; 3]]),
        "the backward pass of `custom`: number of values of a gradient must be 2, that of input 1, got 3"
    );
    // The next pass knows nothing of it.
    let (name, x) = named_rows((1, 2), &[1.0, 2.0]);
    assert_eq!(gradient_of(&name, &mut backward(sum_all(x).unwrap()).unwrap()), [1.0, 1.0]);
}

#[test]
fn an_output_that_is_none_is_refused() {
    let x = || rows((2, 3), &noise(1, 6));
    let refused = |inputs, shape, values: usize| {
        custom(inputs, shape, vec![0.0; values], |_| Vec::new()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(Vec::new(), (1, 1), 1),
        "custom: number of inputs is 0, but there must be at least one"
    );
    assert_eq!(
        refused(vec![x()], (0, 3), 0),
        "custom: shape of the output is (0, 3), but every size must be at least 1"
    );
    assert_eq!(
        refused(vec![x()], (2, 2), 5),
        "custom: number of values of an output of this shape must be 2 * 2, got 5"
    );
    assert!(refused(vec![x()], (usize::MAX, 2), 5).contains("number of values"));
}
