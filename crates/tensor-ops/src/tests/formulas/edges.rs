//! Values at the edge of what an operation takes, and what it refuses.

use super::*;

#[test]
fn a_detached_value_has_no_gradient() {
    let (name, x) = named_rows((2, 3), &noise(1, 6));
    let kept = constant(&detach(&x));
    let mut gradients = backward(sum_all(times(x, kept).unwrap()).unwrap()).unwrap();
    // That of a square would be twice the value.
    assert_eq!(gradient_of(&name, &mut gradients), noise(1, 6));
    let (a, b) = fork(constant(&name));
    assert!(!plus(a, b).unwrap().split_recording().1.is_on());
}

#[test]
fn the_largest_of_a_row_is_the_first_of_equal_ones() {
    let x = rows((4, 3), &[1.0, 1.0, 0.0, -3.0, -2.0, -2.0, 0.0, f32::NAN, f32::INFINITY, 0.0, 1.0, 2.0]);
    assert_eq!(top1_row(&x), [0, 1, 1, 2]);
    assert_eq!(top1_row(&rows((2, 1), &[1.0, 2.0])), [0, 0]);
}

#[test]
fn values_at_the_edge_are_those_of_pytorch() {
    let infinite = f32::NEG_INFINITY;
    let x = || rows((3, 2), &[1e4, 0.0, infinite, 0.0, infinite, infinite]);
    let y = softmax(x()).unwrap().rows();
    assert_eq!(y[..4], [1.0, 0.0, 0.0, 1.0]);
    assert!(y[4].is_nan());
    assert_eq!(log_softmax(x()).unwrap().rows()[..4], [0.0, -1e4, infinite, 0.0]);
    assert_eq!(log_sum_exp(x()).unwrap().rows(), [1e4, 0.0, infinite]);
    let nan = clamp(rows((1, 1), &[f32::NAN]), 0.0, 1.0).unwrap();
    assert!(nan.rows()[0].is_nan());
    let gradient = |run: fn(Features) -> Result<Features, OpError>, at: [f32; 3]| {
        let (name, x) = named_rows((1, 3), &at);
        gradient_of(&name, &mut backward(sum_all(run(x).unwrap()).unwrap()).unwrap())
    };
    assert_eq!(gradient(abs, [-2.0, 0.0, 2.0]), [-1.0, 0.0, 1.0]);
    assert_eq!(gradient(|x| clamp(x, -1.0, 1.0), [-1.0, 1.0, 1.5]), [1.0, 1.0, 0.0]);
    assert_eq!(gradient(|x| norm_over(x, Axis::Columns), [0.0; 3]), [0.0; 3]);
    assert_eq!(gradient(square_root, [0.0, 1.0, 4.0]), [f32::INFINITY, 0.5, 0.25]);
}

#[test]
fn what_does_not_fit_is_refused_with_its_numbers() {
    let x = || rows((2, 3), &noise(1, 6));
    let message = |result: Result<Features, OpError>| result.unwrap_err().to_string();
    assert_eq!(message(matmul(x(), x())), "matmul: number of rows of the second matrix must be 3, got 2");
    assert_eq!(
        message(matmul_transposed(x(), rows((2, 2), &noise(1, 4)))),
        "matmul_transposed: width of the second matrix must be 3, got 2"
    );
    assert_eq!(
        message(covariance(rows((1, 3), &noise(1, 3)))),
        "covariance: number of rows is 1, but it must be at least 2"
    );
    assert_eq!(
        message(variance_over(x(), Axis::Rows, 2)),
        "variance_over: number of values, and `ddof`, is (2, 2), but the axis must have more values than `ddof`"
    );
    assert_eq!(
        message(clamp(x(), 1.0, 0.5)),
        "clamp: bounds is (1.0, 0.5), but the first must be at most the second"
    );
    assert!(clamp(x(), f32::NAN, 0.5).is_err());
    assert_eq!(
        message(gather_rows(x(), &[0, 2])),
        "gather_rows: a row to gather must be less than 2, the number of rows, got 2"
    );
    assert!(gather_rows(x(), &[]).is_err());
    let (start, end) = (2, 1);
    for range in [0..4, 1..1, start..end] {
        assert!(slice_columns(x(), range).is_err());
    }
    assert_eq!(
        message(slice_rows(x(), 1..3)),
        "slice_rows: rows must be a range within 0..2 that is not empty, got 1..3"
    );
    assert_eq!(message(diagonal(x())), "diagonal: number of columns, that of the rows, must be 2, got 3");
    assert!(concat_rows_of(Vec::new()).is_err());
    assert!(concat_columns(Vec::new()).is_err());
    assert!(concat_rows_of(vec![x(), rows((2, 2), &noise(1, 4))]).is_err());
    assert!(concat_columns(vec![x(), rows((3, 3), &noise(1, 9))]).is_err());
}
