//! Tests of what is too small for a file of tests of its own.

use dfdx::tensor::{PutTape, SplitTape};
use rayon::ThreadPoolBuilder;

use crate::{
    Buffer, Device, DeviceUpdate, FeatureMap, Features, Gradients, KeepLogits, LayerRate, Matrix, OpError,
    Parameter, ParameterKind, Recording, Rows, UpdateRule, add, add_relu, backward, blend_on_device,
    clip_gradients, concat_rows, features_from_rows, gradient_of_rows, info_nce_queue, is_on_device,
    l2_normalize, largest_gradients, largest_value, linear, relu, relu_features, scale_loss, select_rows,
    sum_losses, sum_weighted_by,
    testing::{
        assert_close, backward_weighted, backward_weighted_rows, differences, image, in_each_family,
        named_rows, noise, rows, vector, weighted, wide,
    },
    to_rows, update_on_device, weighted_sum,
};

mod backward;
mod custom;
#[cfg(feature = "cuda-emulated")]
mod driver_calls;
mod exported;
mod formulas;
mod losses;
mod parameters;
mod precision;
mod strided;

fn matrix(shape: (usize, usize), values: &[f32]) -> Matrix {
    rows(shape, values).split_tape().0
}

fn buffer(values: &[f32], width: usize) -> Buffer {
    Buffer::new(&[values.len() / width, width], values.to_vec()).unwrap()
}

#[test]
fn a_feature_map_gives_back_what_it_was_made_of() {
    for n in [1, 5, 16, 17, 40] {
        let x = noise(1, n * 3 * 2 * 5);
        assert_eq!(image([n, 3, 2, 5], &x).to_nhwc(), x);
    }
}

#[test]
fn images_are_selected_in_the_order_asked_for() {
    let x = noise(1, 20 * 6);
    let order: Vec<usize> = (0..19).map(|i| (i * 7 + 3) % 20).collect();
    let selected = image([20, 1, 2, 3], &x).select_images(&order).unwrap();
    let expected: Vec<f32> = order.iter().flat_map(|&i| x[i * 6..][..6].to_vec()).collect();
    assert_eq!(selected.to_nhwc(), expected);
    assert!(!selected.is_recorded());
    assert!(matches!(selected.select_images(&[19]), Err(OpError::Value { .. })));
    assert!(matches!(selected.select_images(&[]), Err(OpError::Value { .. })));
}

#[test]
fn rows_are_selected_in_the_order_asked_for() {
    let x = matrix((3, 2), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(to_rows(&select_rows(&x, &[2, 0]).unwrap()), [5.0, 6.0, 1.0, 2.0]);
    assert!(matches!(select_rows(&x, &[3]), Err(OpError::Value { .. })));
}

#[test]
fn a_transposed_matrix_is_read_by_its_rows() {
    use dfdx::{shapes::Axes2, tensor_ops::PermuteTo};
    let x = matrix((2, 3), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let transposed: Matrix = x.permute::<_, Axes2<1, 0>>();
    assert_eq!(to_rows(&transposed), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
}

#[test]
fn relu_and_sums_agree_with_differences() {
    in_each_family(|| {
        let shape = [5, 3, 2, 3];
        let (a, b, weights) = (noise(1, 90), noise(2, 90), noise(3, 90));
        let oracle =
            |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| (a + b).max(0.0)).collect() };
        for is_fused in [true, false] {
            let (first, second) = (image(shape, &a), image(shape, &b));
            let (kept_a, kept_b) = (first.share(), second.share());
            let y =
                if is_fused { add_relu(first, second) } else { relu(add(first, second).unwrap()) }.unwrap();
            assert_close("output", &y.to_nhwc(), &oracle(&wide(&a), &wide(&b)), 1e-6);
            let mut gradients = backward_weighted(y, &weights);
            let by_a = differences(|a| weighted(&oracle(a, &wide(&b)), &weights), &wide(&a));
            assert_close("first", &kept_a.gradient(&mut gradients).unwrap().unwrap(), &by_a, 1e-6);
            assert_close("second", &kept_b.gradient(&mut gradients).unwrap().unwrap(), &by_a, 1e-6);
        }
        for (op, run) in [("add", add as fn(_, _) -> _), ("add_relu", add_relu)] {
            let result: Result<FeatureMap, OpError> = run(image(shape, &a), image([5, 3, 3, 2], &b));
            assert!(matches!(result, Err(OpError::Shape { op: of, .. }) if of == op));
        }
    });
}

#[test]
fn a_value_added_to_itself_gets_its_gradient_twice() {
    let x = image([1, 1, 1, 2], &[1.0, 2.0]);
    let (kept, twin) = (x.share(), x.share());
    let mut gradients = backward_weighted(add(x, twin).unwrap(), &[3.0, 4.0]);
    assert_eq!(kept.gradient(&mut gradients).unwrap().unwrap(), [6.0, 8.0]);
}

#[test]
fn relu_of_features_agrees_with_differences() {
    in_each_family(|| {
        let (x, weights) = (noise(1, 35), noise(2, 35));
        let (name, input) = named_rows((5, 7), &x);
        let y = relu_features(input).unwrap();
        let oracle = |x: &[f64]| -> Vec<f64> { x.iter().map(|x| x.max(0.0)).collect() };
        assert_close("output", &to_rows(&y), &oracle(&wide(&x)), 1e-6);
        let mut gradients = backward_weighted_rows(y, &weights);
        let by_x = differences(|x| weighted(&oracle(x), &weights), &wide(&x));
        assert_close("input", &crate::testing::gradient_of(&name, &mut gradients), &by_x, 1e-6);
    });
}

#[test]
fn rows_of_unit_length_agree_with_differences() {
    in_each_family(|| {
        let (x, weights) = (noise(1, 35), noise(2, 35));
        let (name, input) = named_rows((5, 7), &x);
        let y = l2_normalize(input).unwrap();
        let oracle = |x: &[f64]| -> Vec<f64> {
            let unit = |row: &[f64]| {
                let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                row.iter().map(|x| x / length).collect::<Vec<_>>()
            };
            x.chunks(7).flat_map(unit).collect()
        };
        assert_close("output", &to_rows(&y), &oracle(&wide(&x)), 1e-6);
        let mut gradients = backward_weighted_rows(y, &weights);
        let by_x = differences(|x| weighted(&oracle(x), &weights), &wide(&x));
        assert_close("input", &crate::testing::gradient_of(&name, &mut gradients), &by_x, 1e-5);
    });
}

#[test]
fn a_row_of_zeros_stays_zero() {
    let y = l2_normalize(rows((1, 3), &[0.0; 3])).unwrap();
    assert_eq!(to_rows(&y), [0.0; 3]);
}

#[test]
fn rows_of_several_matrices_follow_each_other() {
    let (a, b) = (matrix((2, 2), &[1.0, 2.0, 3.0, 4.0]), matrix((1, 2), &[5.0, 6.0]));
    let whole = concat_rows(&[&a, &b, &a]).unwrap();
    assert_eq!(to_rows(&whole), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1.0, 2.0, 3.0, 4.0]);
    assert!(matches!(concat_rows(&[]), Err(OpError::Value { .. })));
    assert!(matches!(concat_rows(&[&a, &matrix((1, 1), &[0.0])]), Err(OpError::Shape { .. })));
}

#[test]
fn the_gradient_of_rows_moves_out_once() {
    let (name, x) = named_rows((2, 3), &noise(1, 6));
    let mut gradients = backward(weighted_sum(x, &noise(2, 6)).unwrap()).unwrap();
    assert_eq!(to_rows(&gradient_of_rows(&name, &mut gradients).unwrap()), noise(2, 6));
    assert_eq!(to_rows(&gradient_of_rows(&name, &mut gradients).unwrap()), [0.0; 6]);
    let other = matrix((2, 3), &noise(3, 6));
    assert_eq!(to_rows(&gradient_of_rows(&other, &mut gradients).unwrap()), [0.0; 6]);
}

#[test]
fn rows_written_past_the_end_of_a_buffer_go_on_at_its_start() {
    let mut kept = buffer(&[0.0; 8], 2);
    kept.write_rows(1, &matrix((2, 2), &[1.0, 2.0, 3.0, 4.0])).unwrap();
    assert_eq!(kept.to_vec(), [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
    kept.write_rows(3, &matrix((2, 2), &[5.0, 6.0, 7.0, 8.0])).unwrap();
    assert_eq!(kept.to_vec(), [7.0, 8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    kept.write_rows(2, &matrix((4, 2), &noise(1, 8))).unwrap();
    let expected: Vec<f32> = [&noise(1, 8)[4..], &noise(1, 8)[..4]].concat();
    assert_eq!(kept.to_vec(), expected);
    assert!(matches!(kept.write_rows(4, &matrix((1, 2), &[0.0; 2])), Err(OpError::Value { .. })));
    assert!(matches!(kept.write_rows(0, &matrix((5, 2), &[0.0; 10])), Err(OpError::Value { .. })));
    assert!(matches!(kept.write_rows(0, &matrix((1, 3), &[0.0; 3])), Err(OpError::Shape { .. })));
}

#[test]
fn a_buffer_of_zeros_has_them_when_asked() {
    let mut zeros = Buffer::zeros(&[2, 2]);
    assert_eq!((zeros.to_vec(), zeros.n_elements()), (vec![0.0; 4], 4));
    let mut values = zeros.take_values();
    values[3] = 1.0;
    assert!(matches!(zeros.put_values(vec![0.0]), Err(OpError::Shape { .. })));
    zeros.put_values(values).unwrap();
    assert_eq!(zeros.to_vec(), [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn a_loss_without_a_recording_cannot_go_backward() {
    let q = features_from_rows(&Device::default(), (1, 2), vec![1.0, 0.0], Recording::Off).unwrap();
    let result =
        info_nce_queue(q, &matrix((1, 2), &[1.0, 0.0]), &buffer(&[0.0, 1.0], 2), 0.2, KeepLogits::No)
            .unwrap();
    assert!(matches!(backward(result.loss), Err(OpError::NotRecorded { .. })));
}

#[test]
fn rows_keep_their_values_when_their_recording_changes() {
    let values = vec![0.5, -1.0, 2.0, 3.5, 0.0, 1.0];
    let rows = features_from_rows(&Device::default(), (2, 3), values.clone(), Recording::Off).unwrap();
    let (matrix, recording) = rows.split_recording();
    assert!(!recording.is_on());
    assert_eq!((matrix.n(), matrix.d(), matrix.rows()), (2, 3, values.clone()));
    let features = matrix.with_recording(Recording::start());
    assert_eq!((features.n(), features.d(), features.rows()), (2, 3, values));
    assert!(features.split_recording().1.is_on());
}

#[test]
fn values_that_do_not_fill_their_shape_are_errors() {
    let device = Device::default();
    assert!(matches!(
        Parameter::new(&device, ParameterKind::Vector, &[2], vec![1.0]),
        Err(OpError::Shape { .. })
    ));
    assert!(matches!(
        Parameter::new(&device, ParameterKind::Matrix, &[2], vec![1.0, 2.0]),
        Err(OpError::Shape { .. })
    ));
    assert!(matches!(
        FeatureMap::from_nhwc(&device, [1, 2, 2, 1], &[0.0; 3], Recording::Off),
        Err(OpError::Shape { .. })
    ));
    assert!(matches!(
        FeatureMap::from_nhwc(&device, [0, 2, 2, 1], &[], Recording::Off),
        Err(OpError::Value { .. })
    ));
    assert!(matches!(
        features_from_rows(&device, (2, 2), vec![0.0; 3], Recording::Off),
        Err(OpError::Shape { .. })
    ));
}

#[test]
fn shapes_of_more_values_than_can_be_counted_are_errors() {
    // The product of their sizes is 0 in 64 bits, as many as there are values.
    let (device, side) = (Device::default(), 1 << 32);
    let message = |error: Option<OpError>| error.unwrap().to_string();
    for error in [
        message(FeatureMap::from_nhwc(&device, [side, side, 1, 1], &[], Recording::Off).err()),
        message(features_from_rows(&device, (side, side), Vec::new(), Recording::Off).err()),
        message(Parameter::new(&device, ParameterKind::Matrix, &[side, side], Vec::new()).err()),
        message(Buffer::new(&[side, side], Vec::new()).err()),
        message(Buffer::zeros(&[side, side]).put_values(Vec::new()).err()),
    ] {
        assert!(error.ends_with("but it has more values than can be counted"), "{error}");
    }
    assert_eq!(Buffer::zeros(&[side, side]).n_elements(), usize::MAX);
}
