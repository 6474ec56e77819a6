//! Parameters, and what is done with the gradients of many of them.

use super::*;

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
fn a_duplicate_is_trained_apart() {
    let own = vector(&[1.0]);
    let mut twin = own.duplicate().unwrap();
    twin.update(|values| values[0] = 2.0).unwrap();
    assert_eq!((own.to_vec(), twin.to_vec()), (vec![1.0], vec![2.0]));
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
