//! The check of gradients itself.

use super::*;
use crate::check_gradient;

#[test]
fn a_check_of_gradients_finds_the_value_that_is_wrong() {
    let (a, b) = (matrix((3, 2), &noise(1, 6)), matrix((2, 4), &noise(2, 8)));
    let inputs = [a, b];
    // With one value of one gradient larger by a fiftieth.
    let product = |mut x: Vec<Features>, is_wrong: bool| {
        let y = matmul(x.remove(0), x.remove(0))?;
        let copy = y.rows();
        let y = custom(vec![y], (3, 4), copy, move |gradient| {
            let mut gradient = gradient.to_vec();
            if is_wrong {
                gradient[7] *= 1.02;
            }
            vec![gradient]
        })?;
        weighted_sum(softmax(y)?, &noise(3, 12))
    };
    let right = check_gradient(|x| product(x, false), &inputs).unwrap();
    assert!(right.largest_error < 1e-3, "{right:?}");
    let wrong = check_gradient(|x| product(x, true), &inputs).unwrap();
    assert!(wrong.largest_error > 5e-3, "{wrong:?}");
    // A parameter of a smooth function of large or of small numbers is no harder.
    for size in [1e-3, 1e3] {
        let x = matrix((2, 3), &noise(4, 6).iter().map(|value| size * value).collect::<Vec<_>>());
        let norms = |mut x: Vec<Features>| mean_all(norm_over(x.remove(0), Axis::Columns)?);
        let check = check_gradient(norms, &[x]).unwrap();
        assert!(check.largest_error < 1e-3, "{check:?}");
    }
    // Nor one that the loss does not depend on.
    let check = check_gradient(|mut x| sum_all(square(x.remove(0))?), &inputs).unwrap();
    assert!(check.largest_error < 1e-3, "{check:?}");
}

#[test]
fn a_check_of_gradients_refuses_what_it_cannot_compare() {
    let x = matrix((1, 2), &[1.0, -1.0]);
    let error = |result: Result<crate::GradientCheck, OpError>| result.unwrap_err().to_string();
    let stopped = check_gradient(|x| sum_all(constant(&detach(&x[0]))), std::slice::from_ref(&x));
    assert!(matches!(stopped, Err(OpError::NotRecorded { .. })));
    let infinite = check_gradient(|mut x| sum_all(log(x.remove(0))?), std::slice::from_ref(&x));
    assert_eq!(
        error(infinite),
        "check_gradient: the loss is NaN, but it must be finite where gradients are compared"
    );
    let n_calls = std::cell::Cell::new(0.0);
    let another = |mut x: Vec<Features>| {
        n_calls.set(n_calls.get() + 1.0);
        sum_all(shifted(x.remove(0), n_calls.get())?)
    };
    let refused = error(check_gradient(another, &[x]));
    assert!(refused.contains("the loss, computed twice, is (2.0, 4.0)"), "{refused}");
    assert!(check_gradient(|_| sum_all(rows((1, 1), &[1.0])), &[]).is_err());
}
