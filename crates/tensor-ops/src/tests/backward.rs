//! Backward passes after, beside and within each other.

use std::{cell::RefCell, rc::Rc};

use rayon::{Yield, join, yield_now};

use super::{
    strided::{D, N, View, views},
    *,
};
use crate::{backward_onto, constant, custom, square, sum_all, testing::gradient_of};

#[test]
fn a_gradient_that_was_taken_out_grows_again_in_the_next_pass() {
    let plain = View { name: "plain", shape: (N, D), make: |x| x, source: |row, column| row * D + column };
    for View { name, shape, make, source } in views().chain([plain]) {
        let view = make(rows(shape, &noise(5, shape.0 * shape.1))).split_tape().0;
        let pass = |gradients, weights: &[f32]| {
            let x = view.clone().put_tape(Recording::start());
            backward_onto(weighted_sum(x, weights).unwrap(), gradients).unwrap()
        };
        // A value that stands in several places has the gradients of all of them.
        let expected = |weights: &[f32]| -> Vec<f64> {
            let source = |i: usize| source(i / D, i % D);
            let at =
                |i: usize| (0..N * D).filter(move |&j| name != "sliced" && source(j) == source(i) || j == i);
            (0..N * D).map(|i| at(i).map(|j| f64::from(weights[j])).sum()).collect()
        };
        let (first, second) = (noise(1, N * D), noise(2, N * D));
        let mut gradients = pass(Gradients::default(), &first);
        assert_close(name, &gradient_of(&view, &mut gradients), &expected(&first), 1e-6);
        let mut gradients = pass(gradients, &second);
        assert_close(name, &gradient_of(&view, &mut gradients), &expected(&second), 1e-6);
        let both: Vec<f32> = first.iter().zip(&second).map(|(first, second)| first + second).collect();
        let mut gradients = pass(pass(gradients, &first), &second);
        assert_close(name, &gradient_of(&view, &mut gradients), &expected(&both), 1e-6);
    }
}

/// The gradient of `sum((a x)^2)` in `a` and in `x`, where `between` is called in the middle of the backward pass.
fn gradients(a: f32, between: impl FnOnce() + 'static) -> [Vec<f32>; 2] {
    let weight = Parameter::new(&Device::default(), ParameterKind::Matrix, &[1, 1], vec![a]).unwrap();
    let (name, x) = named_rows((2, 1), &[1.0, -2.0]);
    let y = linear(x, &weight, None).unwrap();
    let values = y.rows();
    let y = custom(vec![y], (2, 1), values, move |gradient| {
        between();
        vec![gradient.to_vec()]
    });
    let mut gradients = backward(sum_all(square(y.unwrap()).unwrap()).unwrap()).unwrap();
    [weight.gradient(&mut gradients).unwrap().unwrap(), gradient_of(&name, &mut gradients)]
}

fn expected(a: f32) -> [Vec<f32>; 2] {
    [vec![10.0 * a], vec![2.0 * a * a, -4.0 * a * a]]
}

#[test]
fn an_operation_may_run_a_backward_pass_in_its_own() {
    let inner = Rc::new(RefCell::new(None));
    let to = Rc::clone(&inner);
    let outer = gradients(3.0, move || *to.borrow_mut() = Some(gradients(0.5, || {})));
    assert_eq!((outer, inner.take()), (expected(3.0), Some(expected(0.5))));
}

#[test]
fn a_pass_that_fails_within_another_leaves_it_alone() {
    let outer = gradients(3.0, || {
        let y = custom(vec![rows((1, 1), &[1.0])], (1, 1), vec![1.0], |_| Vec::new()).unwrap();
        assert!(matches!(backward(sum_all(y).unwrap()), Err(OpError::Shape { .. })));
        let panics = || gradients(1.0, || panic!("made to fail"));
        assert!(std::panic::catch_unwind(panics).is_err());
    });
    assert_eq!(outer, expected(3.0));
}

#[test]
fn a_thread_that_waits_in_one_pass_may_run_another() {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    // The only thread takes the second pass while it is in the middle of the first.
    let wait = || assert_eq!(yield_now(), Some(Yield::Executed));
    let (first, second) = pool.install(|| join(|| gradients(3.0, wait), || gradients(0.5, || {})));
    assert_eq!((first, second), (expected(3.0), expected(0.5)));
}

#[test]
fn what_does_not_reach_the_loss_gets_zeros_if_its_recording_does() {
    let (weight, other) = (crate::testing::weight_matrix(3, 2, &noise(1, 6)), matrix((1, 1), &[7.0]));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let to = Rc::clone(&seen);
    let y = linear(rows((2, 3), &noise(2, 6)), &weight, None).unwrap();
    let y = custom(vec![y], (1, 1), vec![1.0], move |gradient| {
        to.borrow_mut().push(gradient.to_vec());
        vec![vec![0.0; 4]]
    });
    let (_, recording) = y.unwrap().split_recording();
    let mut gradients = backward(sum_all(other.put_tape(recording)).unwrap()).unwrap();
    assert_eq!(seen.take(), [[0.0]]);
    assert_eq!(weight.gradient(&mut gradients).unwrap().unwrap(), [0.0; 6]);

    // What was not recorded together with the loss gets none.
    let weight = crate::testing::weight_matrix(3, 2, &noise(1, 6));
    let y = linear(rows((2, 3), &noise(2, 6)), &weight, None).unwrap();
    drop(custom(vec![y], (1, 1), vec![1.0], |_| unreachable!("nothing of it is in the loss")).unwrap());
    let loss = sum_all(constant(&matrix((1, 1), &[1.0])).with_recording(Recording::start())).unwrap();
    assert_eq!(weight.gradient(&mut backward(loss).unwrap()).unwrap(), None);
}
