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
        assert_close, backward_weighted, backward_weighted_rows, differences, image, named_rows, noise, rows,
        vector, weighted, wide,
    },
    to_rows, update_on_device, weighted_sum,
};

mod custom;
#[cfg(feature = "cuda-emulated")]
mod driver_calls;
mod formulas;
mod losses;
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
    let shape = [5, 3, 2, 3];
    let (a, b, weights) = (noise(1, 90), noise(2, 90), noise(3, 90));
    let oracle =
        |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| (a + b).max(0.0)).collect() };
    for is_fused in [true, false] {
        let (first, second) = (image(shape, &a), image(shape, &b));
        let (kept_a, kept_b) = (first.share(), second.share());
        let y = if is_fused { add_relu(first, second) } else { relu(add(first, second).unwrap()) }.unwrap();
        assert_close("output", &y.to_nhwc(), &oracle(&wide(&a), &wide(&b)), 1e-6);
        let mut gradients = backward_weighted(y, &weights);
        let by_a = differences(|a| weighted(&oracle(a, &wide(&b)), &weights), &wide(&a));
        assert_close("first", &kept_a.gradient(&mut gradients).unwrap().unwrap(), &by_a, 1e-6);
        assert_close("second", &kept_b.gradient(&mut gradients).unwrap().unwrap(), &by_a, 1e-6);
    }
    let (x, y) = (image(shape, &a), image([5, 3, 3, 2], &b));
    assert!(matches!(add(x, y), Err(OpError::Shape { .. })));
}

#[test]
fn a_value_added_to_itself_gets_its_gradient_twice() {
    let x = image([1, 1, 1, 2], &[1.0, 2.0]);
    let (kept, twin) = (x.share(), x.share());
    let mut gradients = backward_weighted(add(x, twin).unwrap(), &[3.0, 4.0]);
    assert_eq!(kept.gradient(&mut gradients).unwrap().unwrap(), [6.0, 8.0]);
}

#[test]
fn linear_layers_agree_with_differences() {
    for (n, n_in, n_out) in [(1, 1, 1), (5, 7, 3), (17, 5, 70), (3, 33, 130)] {
        let (x, weight, bias) = (noise(1, n * n_in), noise(2, n_in * n_out), noise(3, n_out));
        let weights = noise(4, n * n_out);
        let oracle = |x: &[f64], weight: &[f64], bias: &[f64]| -> Vec<f64> {
            let at = |row: usize, column: usize| {
                bias[column] + (0..n_in).map(|i| x[row * n_in + i] * weight[i * n_out + column]).sum::<f64>()
            };
            (0..n * n_out).map(|i| at(i / n_out, i % n_out)).collect()
        };
        let parameter =
            Parameter::new(&Device::default(), ParameterKind::Matrix, &[n_in, n_out], weight.clone())
                .unwrap();
        let bias_parameter = vector(&bias);
        let (name, input) = named_rows((n, n_in), &x);
        let y = linear(input, &parameter, Some(&bias_parameter)).unwrap();
        let (x, weight, bias) = (wide(&x), wide(&weight), wide(&bias));
        assert_close("output", &to_rows(&y), &oracle(&x, &weight, &bias), 1e-6);
        let mut gradients = backward_weighted_rows(y, &weights);
        let by_x = differences(|x| weighted(&oracle(x, &weight, &bias), &weights), &x);
        assert_close("input", &crate::testing::gradient_of(&name, &mut gradients), &by_x, 1e-5);
        let by_weight = differences(|weight| weighted(&oracle(&x, weight, &bias), &weights), &weight);
        assert_close("weight", &parameter.gradient(&mut gradients).unwrap().unwrap(), &by_weight, 1e-5);
        let by_bias = differences(|bias| weighted(&oracle(&x, &weight, bias), &weights), &bias);
        assert_close("bias", &bias_parameter.gradient(&mut gradients).unwrap().unwrap(), &by_bias, 1e-5);
    }
    let weight = Parameter::new(&Device::default(), ParameterKind::Matrix, &[3, 2], noise(1, 6)).unwrap();
    assert!(matches!(linear(rows((2, 4), &noise(1, 8)), &weight, None), Err(OpError::Shape { .. })));
    let bias = vector(&[0.0; 3]);
    assert!(matches!(linear(rows((2, 3), &noise(1, 6)), &weight, Some(&bias)), Err(OpError::Shape { .. })));
}

#[test]
fn relu_of_features_agrees_with_differences() {
    let (x, weights) = (noise(1, 35), noise(2, 35));
    let (name, input) = named_rows((5, 7), &x);
    let y = relu_features(input).unwrap();
    let oracle = |x: &[f64]| -> Vec<f64> { x.iter().map(|x| x.max(0.0)).collect() };
    assert_close("output", &to_rows(&y), &oracle(&wide(&x)), 1e-6);
    let mut gradients = backward_weighted_rows(y, &weights);
    let by_x = differences(|x| weighted(&oracle(x), &weights), &wide(&x));
    assert_close("input", &crate::testing::gradient_of(&name, &mut gradients), &by_x, 1e-6);
}

#[test]
fn rows_of_unit_length_agree_with_differences() {
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
fn parameters_travel_to_pytorch_and_back() {
    let device = Device::default();
    let mut kernel =
        Parameter::new(&device, ParameterKind::Kernel, &[2, 1, 3, 2], (0..12).map(|i| i as f32).collect())
            .unwrap();
    let (shape, values) = kernel.to_torch();
    assert_eq!(shape, [2, 3, 2, 1]);
    // Output 0, input 0: the taps are (0, 0) at 0 and (1, 0) at 6.
    assert_eq!(values, [0.0, 6.0, 2.0, 8.0, 4.0, 10.0, 1.0, 7.0, 3.0, 9.0, 5.0, 11.0]);
    let ours = kernel.to_vec();
    kernel.set(&[0.0; 12]).unwrap();
    kernel.set_from_torch(&shape, &values).unwrap();
    assert_eq!(kernel.to_vec(), ours);
    assert!(matches!(kernel.set_from_torch(&[3, 2, 2, 1], &values), Err(OpError::Shape { .. })));

    let mut matrix =
        Parameter::new(&device, ParameterKind::Matrix, &[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let (shape, values) = matrix.to_torch();
    assert_eq!((shape.as_slice(), values.as_slice()), (&[3, 2][..], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0][..]));
    matrix.set_from_torch(&shape, &values).unwrap();
    assert_eq!(matrix.to_vec(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn a_blend_moves_towards_the_other_and_leaves_it_alone() {
    let (mut own, other) = (vector(&[1.0, -2.0]), vector(&[3.0, 4.0]));
    own.blend(&other, 0.75).unwrap();
    assert_eq!(own.to_vec(), [1.5, -0.5]);
    assert_eq!(other.to_vec(), [3.0, 4.0]);
    assert!(matches!(own.blend(&vector(&[1.0]), 0.5), Err(OpError::Shape { .. })));
}

#[test]
fn values_that_were_taken_are_put_back_changed_and_handles_keep_the_old_ones() {
    let mut own = vector(&[1.0, -2.0]);
    let handle = own.share();
    let mut values = own.take_values();
    assert_eq!(own.n_elements(), 2);
    values[0] = 5.0;
    assert!(matches!(own.put_values(vec![0.0]), Err(OpError::Shape { .. })));
    own.put_values(values).unwrap();
    assert_eq!((own.values(), handle.values()), (&[5.0, -2.0][..], &[1.0, -2.0][..]));
}

#[test]
fn the_largest_value_is_found_and_nan_is_not_overlooked() {
    let mut values: Vec<f32> = (0..37).map(|i| (i as f32 - 30.0) / 10.0).collect();
    assert_eq!(largest_value(&values), 3.0);
    values[36] = f32::NEG_INFINITY;
    assert_eq!(largest_value(&values), f32::INFINITY);
    for place in [0, 17, 35] {
        let mut values = values.clone();
        values[place] = -f32::NAN;
        assert!(largest_value(&values).is_nan(), "{place}");
    }
    assert_eq!(largest_value(&[]), 0.0);
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
fn gradients_are_clipped_together_by_their_norm() {
    // a, b = torch.tensor([3.0, -4.0]), torch.tensor([12.0]); a.grad, b.grad = a, b
    // torch.nn.utils.clip_grad_norm_([a, b], 6.5) is 13, and leaves [1.5, -2.0] and [6.0]
    let (a, without, b) = (vector(&[0.0; 2]), vector(&[0.0; 3]), vector(&[0.0]));
    let mut gradients = Gradients::default();
    a.put_gradient(&mut gradients, vec![3.0, -4.0]).unwrap();
    b.put_gradient(&mut gradients, vec![12.0]).unwrap();
    let parameters = [&a, &without, &b];
    assert_eq!(clip_gradients(&parameters, &mut gradients, 14.0).unwrap(), 13.0);
    assert_eq!(a.gradient(&mut gradients).unwrap().unwrap(), [3.0, -4.0], "a smaller norm stays");
    assert_eq!(clip_gradients(&parameters, &mut gradients, 6.5).unwrap(), 13.0);
    let values =
        [a.gradient(&mut gradients), b.gradient(&mut gradients)].map(|values| values.unwrap().unwrap());
    for (value, expected) in values.concat().into_iter().zip([1.5, -2.0, 6.0]) {
        assert!((value - expected).abs() < 1e-6, "{values:?}");
    }
    // More values than a block has.
    let long = vector(&vec![0.0; 70_001]);
    long.put_gradient(&mut gradients, vec![2.0; 70_001]).unwrap();
    let norm = clip_gradients(&[&long], &mut gradients, 1.0).unwrap();
    assert!((norm - (4.0 * 70_001.0_f64).sqrt()).abs() < 1e-9, "{norm}");
    let value = long.gradient(&mut gradients).unwrap().unwrap()[70_000];
    assert!((f64::from(value) - 2.0 / norm).abs() < 1e-8, "{value}");
}

#[test]
fn the_largest_gradient_of_each_parameter_is_found() {
    let mut gradients = Gradients::default();
    let lens = [1, 37, 70_001, 5];
    let parameters = lens.map(|len| vector(&vec![0.0; len]));
    let without = vector(&[0.0; 3]);
    for (seed, parameter) in parameters.iter().enumerate() {
        let mut gradient = noise(seed as u32 + 1, parameter.n_elements());
        match seed {
            1 => gradient[36] = -7.0,
            2 => gradient[65_000] = f32::NAN,
            3 => gradient[0] = f32::NEG_INFINITY,
            _ => {}
        }
        parameter.put_gradient(&mut gradients, gradient).unwrap();
    }
    let [a, b, c, d] = &parameters;
    let largest = largest_gradients(&[a, &without, b, c, d], &mut gradients).unwrap();
    assert_eq!(largest[..3], [Some(noise(1, 1)[0].abs()), None, Some(7.0)]);
    assert!(largest[3].is_some_and(f32::is_nan));
    assert_eq!(largest[4], Some(f32::INFINITY));
    assert_eq!(b.gradient(&mut gradients).unwrap().unwrap()[36], -7.0, "gradients stay");
    assert_eq!(largest_gradients(&[&without], &mut gradients).unwrap(), [None]);
}

#[test]
fn parameters_blend_together_as_they_do_alone() {
    let lens = [1, 8192, 8193, 37, 20_000];
    let parameters = |seed: u32| -> Vec<Parameter> {
        lens.iter().zip(seed..).map(|(len, seed)| vector(&noise(seed, *len))).collect()
    };
    let (mut own, mut alone, towards) = (parameters(1), parameters(1), parameters(11));
    let mut taken: Vec<Parameter> = own.iter_mut().map(Parameter::take).collect();
    let result = blend_on_device(&mut taken, &towards, 0.75);
    for (own, taken) in own.iter_mut().zip(taken) {
        own.put_back(taken);
    }
    if !is_on_device() {
        assert!(matches!(result, Err(OpError::Value { .. })));
        return;
    }
    result.unwrap();
    for ((own, alone), towards) in own.iter().zip(&mut alone).zip(&towards) {
        alone.blend(towards, 0.75).unwrap();
        assert_eq!(own.values(), alone.values());
    }
    assert!(matches!(blend_on_device(&mut own, &towards[1..], 0.75), Err(OpError::Shape { .. })));
    own.swap(0, 1);
    assert!(matches!(blend_on_device(&mut own, &towards, 0.75), Err(OpError::Shape { .. })));
}

#[test]
fn an_update_wants_the_slots_of_its_rule() {
    let rule = UpdateRule::Momentum { momentum: 0.9, weight_decay: 0.0, lr: 0.1, rate: LayerRate::One };
    for shapes in [&[][..], &[2], &[3, 3]] {
        let mut slots: Vec<Buffer> = shapes.iter().map(|&len| Buffer::zeros(&[len])).collect();
        let mut update = DeviceUpdate { parameter: vector(&[0.0; 3]), slots: &mut slots, rule };
        let result = update_on_device(&mut [&mut update], &mut Gradients::default());
        assert!(matches!(result, Err(OpError::Shape { .. })), "{shapes:?}");
    }
}

#[test]
fn a_duplicate_is_trained_apart() {
    let own = vector(&[1.0]);
    let mut twin = own.duplicate().unwrap();
    twin.update(|values| values[0] = 2.0).unwrap();
    assert_eq!((own.to_vec(), twin.to_vec()), (vec![1.0], vec![2.0]));
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
