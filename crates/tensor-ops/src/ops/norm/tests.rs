use kernels_cpu::Values;
use rayon::ThreadPoolBuilder;

use super::{BatchNorm, batch_norm, batch_norm_add_relu, batch_norm_features, batch_norm_relu};
use crate::{
    ConvAlgorithm, ConvGeometry, Device, Mode, OpError, Parameter, ParameterKind, Precision, conv2d,
    conv2d_before_norm,
    testing::{
        assert_close, backward_weighted, backward_weighted_rows, differences, image, in_each_family, noise,
        rows, vector, weighted, wide,
    },
};

/// The definition, in double precision: `(N, H, W, C)` in, with `n ≡ g (mod splits)` normalized together.
fn oracle(
    x: &[f64],
    [n, h, w, c]: [usize; 4],
    splits: usize,
    scale: &[f64],
    shift: &[f64],
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut y = vec![0.0; x.len()];
    let (mut means, mut unbiased) = (vec![0.0; c], vec![0.0; c]);
    for group in 0..splits {
        for channel in 0..c {
            let places: Vec<usize> = (0..n)
                .filter(|image| image % splits == group)
                .flat_map(|image| (0..h * w).map(move |pos| (image * h * w + pos) * c + channel))
                .collect();
            let count = places.len() as f64;
            let mean = places.iter().map(|&at| x[at]).sum::<f64>() / count;
            let squares = places.iter().map(|&at| (x[at] - mean).powi(2)).sum::<f64>();
            for at in places {
                y[at] = (x[at] - mean) / (squares / count + 1e-5).sqrt() * scale[channel] + shift[channel];
            }
            means[channel] += mean / splits as f64;
            unbiased[channel] += squares / (count - 1.0) / splits as f64;
        }
    }
    (y, means, unbiased)
}

fn norm_of(scale: &[f32], shift: &[f32], splits: usize) -> BatchNorm {
    let mut norm = BatchNorm::new(&Device::default(), scale.len()).unwrap();
    norm.scale = Some(vector(scale));
    norm.shift = Some(vector(shift));
    norm.splits = splits;
    norm
}

#[test]
fn training_normalizes_by_the_batch_and_gradients_agree_with_differences() {
    in_each_family(|| {
        for (shape, splits) in [([5, 3, 2, 3], 1), ([6, 2, 3, 5], 2), ([18, 2, 1, 3], 3), ([20, 1, 1, 2], 4)]
        {
            let [n, h, w, c] = shape;
            let len = n * h * w * c;
            let (x, weights) = (noise(1, len), noise(2, len));
            let (scale, shift) = (noise(3, c), noise(4, c));
            let mut norm = norm_of(&scale, &shift, splits);
            let input = image(shape, &x);
            let kept = input.share();
            let y = batch_norm(input, &mut norm, Mode::Train).unwrap();
            let (scale, shift, x) = (wide(&scale), wide(&shift), wide(&x));
            let (expected, means, unbiased) = oracle(&x, shape, splits, &scale, &shift);
            assert_close("output", &y.to_nhwc(), &expected, 1e-5);
            let means: Vec<f64> = means.iter().map(|mean| 0.1 * mean).collect();
            let variances: Vec<f64> = unbiased.iter().map(|var| 0.9 + 0.1 * var).collect();
            assert_close("running mean", &norm.running_mean.to_vec(), &means, 1e-6);
            assert_close("running variance", &norm.running_var.to_vec(), &variances, 1e-6);
            assert_eq!(norm.n_batches, 1);

            let mut gradients = backward_weighted(y, &weights);
            let loss_of = |x: &[f64], scale: &[f64], shift: &[f64]| {
                weighted(&oracle(x, shape, splits, scale, shift).0, &weights)
            };
            let by_x = differences(|x| loss_of(x, &scale, &shift), &x);
            assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-4);
            let by_scale = differences(|scale| loss_of(&x, scale, &shift), &scale);
            let got = norm.scale.unwrap().gradient(&mut gradients).unwrap().unwrap();
            assert_close("scale", &got, &by_scale, 1e-4);
            let by_shift = differences(|shift| loss_of(&x, &scale, shift), &shift);
            let got = norm.shift.unwrap().gradient(&mut gradients).unwrap().unwrap();
            assert_close("shift", &got, &by_shift, 1e-4);
        }
    });
}

#[test]
fn the_tail_of_a_residual_block_agrees_with_differences() {
    in_each_family(|| {
        for shape in [[5, 3, 2, 3], [17, 2, 2, 5]] {
            let [n, h, w, c] = shape;
            let len = n * h * w * c;
            let (x, residual, weights) = (noise(1, len), noise(5, len), noise(2, len));
            let (scale, shift) = (noise(3, c), noise(4, c));
            let mut norm = norm_of(&scale, &shift, 1);
            let (input, shortcut) = (image(shape, &x), image(shape, &residual));
            let (kept, kept_shortcut) = (input.share(), shortcut.share());
            let y = batch_norm_add_relu(input, &mut norm, shortcut, Mode::Train).unwrap();
            let (scale, shift, x, residual) = (wide(&scale), wide(&shift), wide(&x), wide(&residual));
            let tail = |x: &[f64], residual: &[f64]| -> Vec<f64> {
                let y = oracle(x, shape, 1, &scale, &shift).0;
                y.iter().zip(residual).map(|(y, residual)| (y + residual).max(0.0)).collect()
            };
            assert_close("output", &y.to_nhwc(), &tail(&x, &residual), 1e-5);
            let mut gradients = backward_weighted(y, &weights);
            let by_x = differences(|x| weighted(&tail(x, &residual), &weights), &x);
            assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-4);
            let by_residual = differences(|residual| weighted(&tail(&x, residual), &weights), &residual);
            assert_close(
                "residual",
                &kept_shortcut.gradient(&mut gradients).unwrap().unwrap(),
                &by_residual,
                1e-4,
            );
        }
    });
}

#[test]
fn an_input_that_is_its_own_residual_gets_both_gradients() {
    in_each_family(|| {
        let shape = [5, 3, 2, 3];
        let (x, weights) = (noise(1, 90), noise(2, 90));
        let (scale, shift) = (noise(3, 3), noise(4, 3));
        let mut norm = norm_of(&scale, &shift, 1);
        let input = image(shape, &x);
        let (kept, residual) = (input.share(), input.share());
        let y = batch_norm_add_relu(input, &mut norm, residual, Mode::Train).unwrap();
        let oracle = |x: &[f64]| -> Vec<f64> {
            let y = oracle(x, shape, 1, &wide(&scale), &wide(&shift)).0;
            y.iter().zip(x).map(|(y, x)| (y + x).max(0.0)).collect()
        };
        assert_close("output", &y.to_nhwc(), &oracle(&wide(&x)), 1e-5);
        let mut gradients = backward_weighted(y, &weights);
        let by_x = differences(|x| weighted(&oracle(x), &weights), &wide(&x));
        assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-4);
    });
}

#[test]
fn gradients_in_bfloat16_are_those_of_the_same_values_rounded() {
    in_each_family(|| {
        for shape in [[6, 3, 3, 17], [33, 4, 4, 64]] {
            let [n, h, w, c] = shape;
            let rounded = |seed| Values::new(noise(seed, n * h * w * c), Precision::Bf16).into_whole();
            let (x, residual, weights) = (rounded(1), rounded(5), rounded(2));
            for splits in [1, 3] {
                for (has_residual, has_relu) in [(false, false), (false, true), (true, true)] {
                    let run = |precision| {
                        let mut norm = norm_of(&noise(3, c), &noise(4, c), splits);
                        let input = image(shape, &x).with_precision(precision).unwrap();
                        let shortcut = image(shape, &residual).with_precision(precision).unwrap();
                        let kept = [input.share(), shortcut.share()];
                        let y = match (has_residual, has_relu) {
                            (true, _) => batch_norm_add_relu(input, &mut norm, shortcut, Mode::Train),
                            (false, true) => batch_norm_relu(input, &mut norm, Mode::Train),
                            (false, false) => batch_norm(input, &mut norm, Mode::Train),
                        };
                        let mut gradients = backward_weighted(y.unwrap(), &weights);
                        let of_parameters = [&norm.scale, &norm.shift]
                            .map(|own| own.as_ref().unwrap().gradient(&mut gradients).unwrap().unwrap());
                        (kept.map(|kept| kept.gradient(&mut gradients).unwrap()), of_parameters)
                    };
                    let (half, single) = (run(Precision::Bf16), run(Precision::F32));
                    for (half, single) in half.0.iter().zip(&single.0) {
                        assert_eq!(half.is_some(), single.is_some());
                        if let (Some(half), Some(single)) = (half, single) {
                            assert_close("input", half, &wide(single), 4e-3);
                        }
                    }
                    for (half, single) in half.1.iter().zip(&single.1) {
                        assert_close("parameter", half, &wide(single), 1e-5);
                    }
                }
            }
        }
    });
}

#[test]
fn the_fused_relu_is_the_relu_of_the_plain_one() {
    in_each_family(|| {
        let shape = [5, 3, 3, 17];
        let (x, weights) = (noise(1, 5 * 9 * 17), noise(2, 5 * 9 * 17));
        let run = |is_fused: bool| {
            let mut norm = norm_of(&noise(3, 17), &noise(4, 17), 5);
            let input = image(shape, &x);
            let kept = input.share();
            let y = if is_fused {
                batch_norm_relu(input, &mut norm, Mode::Train).unwrap()
            } else {
                crate::relu(batch_norm(input, &mut norm, Mode::Train).unwrap()).unwrap()
            };
            let values = y.to_nhwc();
            let mut gradients = backward_weighted(y, &weights);
            (values, kept.gradient(&mut gradients).unwrap())
        };
        assert_eq!(run(true), run(false));
    });
}

#[test]
fn evaluation_uses_the_running_statistics_and_leaves_them_alone() {
    in_each_family(|| {
        let shape = [3, 2, 2, 3];
        let (x, weights) = (noise(1, 36), noise(2, 36));
        let (scale, shift) = (noise(3, 3), noise(4, 3));
        let mut norm = norm_of(&scale, &shift, 2);
        norm.running_mean.set(&[0.1, -0.2, 0.3]).unwrap();
        norm.running_var.set(&[0.5, 1.5, 2.5]).unwrap();
        let input = image(shape, &x);
        let kept = input.share();
        let y = batch_norm(input, &mut norm, Mode::Eval).unwrap();
        let oracle = |x: &[f64], scale: &[f64]| -> Vec<f64> {
            let normalized = |(at, x): (usize, &f64)| {
                let c = at % 3;
                let (mean, var) = ([0.1, -0.2, 0.3][c], [0.5, 1.5, 2.5][c]);
                (x - mean) / f64::sqrt(var + 1e-5) * scale[c] + f64::from(shift[c])
            };
            x.iter().enumerate().map(normalized).collect()
        };
        let (x, scale) = (wide(&x), wide(&scale));
        assert_close("output", &y.to_nhwc(), &oracle(&x, &scale), 1e-6);
        assert_eq!(norm.running_mean.to_vec(), [0.1, -0.2, 0.3]);
        assert_eq!(norm.n_batches, 0);
        let mut gradients = backward_weighted(y, &weights);
        let by_x = differences(|x| weighted(&oracle(x, &scale), &weights), &x);
        assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-5);
        let by_scale = differences(|scale| weighted(&oracle(&x, scale), &weights), &scale);
        let got = norm.scale.unwrap().gradient(&mut gradients).unwrap().unwrap();
        assert_close("scale", &got, &by_scale, 1e-5);
    });
}

#[test]
fn rows_of_features_are_normalized_like_images_of_one_pixel() {
    in_each_family(|| {
        let (n, c) = (22, 7);
        let (x, weights) = (noise(1, n * c), noise(2, n * c));
        let mut norm = BatchNorm::without_affine(c);
        norm.splits = 2;
        let input = rows((n, c), &x);
        let kept = dfdx::tensor::SplitTape::split_tape(input);
        let (name, input) = (kept.0.clone(), dfdx::tensor::PutTape::put_tape(kept.0, kept.1));
        let y = batch_norm_features(input, &mut norm, Mode::Train).unwrap();
        let (x, ones, zeros) = (wide(&x), vec![1.0; c], vec![0.0; c]);
        let oracle = |x: &[f64]| oracle(x, [n, 1, 1, c], 2, &ones, &zeros).0;
        assert_close("output", &crate::to_rows(&y), &oracle(&x), 1e-5);
        let mut gradients = backward_weighted_rows(y, &weights);
        let by_x = differences(|x| weighted(&oracle(x), &weights), &x);
        assert_close("input", &crate::testing::gradient_of(&name, &mut gradients), &by_x, 1e-4);
    });
}

#[test]
fn a_mean_far_from_zero_does_not_cost_the_variance_its_digits() {
    in_each_family(|| {
        let shape = [16, 8, 8, 3];
        let x: Vec<f32> = noise(1, 16 * 64 * 3).iter().map(|value| 1000.0 + value).collect();
        let mut norm = BatchNorm::without_affine(3);
        let y = batch_norm(image(shape, &x), &mut norm, Mode::Train).unwrap();
        let expected = oracle(&wide(&x), shape, 1, &[1.0; 3], &[0.0; 3]).0;
        // A value of 1000 has steps of 6e-5.
        assert_close("output", &y.to_nhwc(), &expected, 2e-4);
    });
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let shape = [33, 9, 9, 24];
    let len = shape.iter().product();
    let run = |n_threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let mut norm = norm_of(&noise(3, 24), &noise(4, 24), 3);
            let input = image(shape, &noise(1, len));
            let kept = input.share();
            let y = batch_norm_relu(input, &mut norm, Mode::Train).unwrap();
            let values = y.to_nhwc();
            let mut gradients = backward_weighted(y, &noise(2, len));
            let scale = norm.scale.unwrap().gradient(&mut gradients).unwrap().unwrap();
            [values, kept.gradient(&mut gradients).unwrap().unwrap(), scale, norm.running_var.to_vec()]
                .concat()
        })
    };
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(run(1)), bits(run(3)));
}

#[test]
fn what_cannot_be_normalized_is_an_error() {
    let run = |shape: [usize; 4], splits: usize| {
        let mut norm = BatchNorm::without_affine(3);
        norm.splits = splits;
        batch_norm(image(shape, &noise(1, shape.iter().product())), &mut norm, Mode::Train).map(drop)
    };
    assert!(matches!(run([4, 2, 2, 4], 1), Err(OpError::Shape { .. })));
    assert!(matches!(run([5, 2, 2, 3], 2), Err(OpError::Value { .. })));
    assert!(matches!(run([4, 2, 2, 3], 0), Err(OpError::Value { .. })));
    assert!(matches!(run([4, 1, 1, 3], 4), Err(OpError::Value { .. })));
    let mut norm = BatchNorm::without_affine(3);
    let (x, other) = (image([2, 2, 2, 3], &noise(1, 24)), image([2, 2, 1, 3], &noise(1, 12)));
    assert!(matches!(batch_norm_add_relu(x, &mut norm, other, Mode::Train), Err(OpError::Shape { .. })));
}

/// A convolution's output summed up by the convolution is normalized as one that the norm sums up itself.
#[test]
fn sums_taken_by_a_convolution_are_those_of_its_output() {
    in_each_family(|| {
        let cases = [
            // One product, gathered pixels, Winograd by narrow tasks and by wide ones, and with bfloat16 by pairs.
            ([18, 5, 6, 6], 20, ConvGeometry::square(1, 1, 0)),
            ([18, 5, 6, 6], 20, ConvGeometry::square(3, 2, 1)),
            ([18, 5, 6, 32], 48, ConvGeometry::square(3, 1, 1)),
            ([35, 7, 7, 130], 150, ConvGeometry::square(3, 1, 1)),
        ];
        for precision in [Precision::F32, Precision::Bf16] {
            for (shape, n_out, geometry) in cases {
                let kernel_shape = [geometry.kernel.0, geometry.kernel.1, shape[3], n_out];
                let values = noise(2, kernel_shape.iter().product());
                let weight =
                    Parameter::new(&Device::default(), ParameterKind::Kernel, &kernel_shape, values).unwrap();
                let x = image(shape, &noise(1, shape.iter().product())).with_precision(precision).unwrap();
                let mut norms = [(); 2].map(|()| BatchNorm::new(&Device::default(), n_out).unwrap());
                let algorithm = ConvAlgorithm::Winograd;
                let y = conv2d(x.share(), &weight, None, geometry, algorithm).unwrap();
                let expected = batch_norm(y, &mut norms[0], Mode::Train).unwrap().to_nhwc();
                let y = conv2d_before_norm(x, &weight, geometry, algorithm).unwrap();
                assert!(crate::is_on_device() || y.sums.is_some());
                let got = batch_norm(y, &mut norms[1], Mode::Train).unwrap().to_nhwc();
                // Sums are taken before values are rounded, and parts are others.
                let tolerance = if precision == Precision::F32 { 1e-5 } else { 1e-2 };
                assert_close(&format!("{shape:?} {precision:?}"), &got, &wide(&expected), tolerance);
                let [expected, got] = norms.map(|norm| norm.running_var.to_vec());
                assert_close("running variance", &got, &wide(&expected), tolerance);
            }
        }
    });
}
