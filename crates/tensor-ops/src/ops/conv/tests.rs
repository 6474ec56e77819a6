mod definition;

use rayon::ThreadPoolBuilder;

use kernels_cpu::{Family, Values};

use super::{Way, conv2d, conv2d_on, grouped_conv2d, grouped_conv2d_before_norm};
use crate::{
    ConvAlgorithm, ConvGeometry, Device, FeatureMap, OpError, Parameter, ParameterKind, Precision, Recording,
    add,
    testing::{assert_close, backward_weighted, image, noise, on_family, vector, wide},
};

const DIRECT: ConvAlgorithm = ConvAlgorithm::Direct;

/// A convolution with everything around it.
struct Case {
    shape: [usize; 4],
    n_out: usize,
    groups: usize,
    geometry: ConvGeometry,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// What the gradient of the output is.
    weights: Vec<f32>,
}

/// What comes out: the output, and the gradients of input, weight and bias.
struct Outcome<T> {
    y: Vec<T>,
    x: Vec<T>,
    weight: Vec<T>,
    bias: Vec<T>,
}

impl Case {
    fn new(shape: [usize; 4], n_out: usize, geometry: ConvGeometry) -> Self {
        Self::in_groups(shape, n_out, geometry, 1)
    }

    fn in_groups(shape: [usize; 4], n_out: usize, geometry: ConvGeometry, groups: usize) -> Self {
        let [n, h, w, c] = shape;
        let (out_h, out_w) = geometry.output(h, w).unwrap();
        Self {
            shape,
            n_out,
            groups,
            geometry,
            x: noise(1, n * h * w * c),
            weight: noise(2, geometry.kernel.0 * geometry.kernel.1 * c / groups * n_out),
            bias: noise(3, n_out),
            weights: noise(4, n * out_h * out_w * n_out),
        }
    }

    fn parameters(&self) -> (Parameter, Parameter) {
        let (kernel_h, kernel_w) = self.geometry.kernel;
        let shape = [kernel_h, kernel_w, self.shape[3] / self.groups, self.n_out];
        let weight =
            Parameter::new(&Device::default(), ParameterKind::Kernel, &shape, self.weight.clone()).unwrap();
        (weight, vector(&self.bias))
    }

    fn run(&self, family: Family, algorithm: ConvAlgorithm) -> Outcome<f32> {
        self.run_in(Precision::F32, family, algorithm)
    }

    fn run_in(&self, precision: Precision, family: Family, algorithm: ConvAlgorithm) -> Outcome<f32> {
        let (weight, bias) = self.parameters();
        let x = image(self.shape, &self.x).with_precision(precision).unwrap();
        let input = x.share();
        let way = Way { geometry: self.geometry, algorithm, groups: self.groups };
        let y =
            on_family!(family, |backend| conv2d_on(backend, x, (&weight, Some(&bias)), way, false)).unwrap();
        let values = y.to_nhwc();
        let mut gradients = backward_weighted(y, &self.weights);
        Outcome {
            y: values,
            x: input.gradient(&mut gradients).unwrap().unwrap(),
            weight: weight.gradient(&mut gradients).unwrap().unwrap(),
            bias: bias.gradient(&mut gradients).unwrap().unwrap(),
        }
    }

    /// The definition, a multiplication at a time, in double precision.
    fn oracle(&self) -> Outcome<f64> {
        let [n, h, w, c] = self.shape;
        let ConvGeometry { kernel, stride, padding } = self.geometry;
        let (out_h, out_w) = self.geometry.output(h, w).unwrap();
        let (x, weight, bias, weights) =
            (wide(&self.x), wide(&self.weight), wide(&self.bias), wide(&self.weights));
        let mut outcome = Outcome {
            y: vec![0.0; weights.len()],
            x: vec![0.0; x.len()],
            weight: vec![0.0; weight.len()],
            bias: vec![0.0; bias.len()],
        };
        for image in 0..n {
            for (out_y, out_x) in (0..out_h).flat_map(|y| (0..out_w).map(move |x| (y, x))) {
                for (o, bias) in bias.iter().enumerate() {
                    let out = ((image * out_h + out_y) * out_w + out_x) * self.n_out + o;
                    outcome.y[out] += bias;
                    outcome.bias[o] += weights[out];
                    for (tap_y, tap_x) in (0..kernel.0).flat_map(|y| (0..kernel.1).map(move |x| (y, x))) {
                        let (y, x_pos) = (out_y * stride.0 + tap_y, out_x * stride.1 + tap_x);
                        if y < padding.0 || x_pos < padding.1 || y - padding.0 >= h || x_pos - padding.1 >= w
                        {
                            continue;
                        }
                        let of_group = c / self.groups;
                        let first = o / (self.n_out / self.groups) * of_group;
                        for i in 0..of_group {
                            let from = ((image * h + y - padding.0) * w + x_pos - padding.1) * c + first + i;
                            let tap = ((tap_y * kernel.1 + tap_x) * of_group + i) * self.n_out + o;
                            outcome.y[out] += x[from] * weight[tap];
                            outcome.x[from] += weights[out] * weight[tap];
                            outcome.weight[tap] += weights[out] * x[from];
                        }
                    }
                }
            }
        }
        outcome
    }

    fn check(&self, family: Family) {
        self.check_by(family, DIRECT);
    }

    fn check_by(&self, family: Family, algorithm: ConvAlgorithm) {
        let (got, expected) = (self.run(family, algorithm), self.oracle());
        let what = |value: &str| {
            let Self { shape, n_out, groups, geometry, .. } = self;
            format!("{value} of {shape:?} to {n_out} by {geometry:?} in {groups} groups, {family:?}")
        };
        // Winograd's transforms subtract large numbers from each other.
        let factor = if algorithm == ConvAlgorithm::Winograd { 20.0 } else { 1.0 };
        assert_close(&what("output"), &got.y, &expected.y, 2e-6 * factor);
        assert_close(&what("gradient of the input"), &got.x, &expected.x, 2e-6 * factor);
        assert_close(&what("gradient of the weight"), &got.weight, &expected.weight, 5e-6 * factor);
        assert_close(&what("gradient of the bias"), &got.bias, &expected.bias, 5e-6);
    }
}

impl Case {
    /// Of values that bfloat16 has.
    fn rounded(mut self) -> Self {
        for values in [&mut self.x, &mut self.weight, &mut self.bias, &mut self.weights] {
            *values = Values::new(std::mem::take(values), Precision::Bf16).into_whole();
        }
        self
    }

    fn check_in_bf16(&self, family: Family, algorithm: ConvAlgorithm) {
        let (got, expected) = (self.run_in(Precision::Bf16, family, algorithm), self.oracle());
        let what = |value: &str| {
            format!("{value} of {:?} to {} by {:?}, {family:?}", self.shape, self.n_out, self.geometry)
        };
        // Products of bfloat16 are exact; Winograd rounds what it has transformed. Outputs and their gradients are kept in
        // bfloat16.
        let tolerance = if algorithm == ConvAlgorithm::Winograd { 1.5e-2 } else { 5e-6 };
        assert_close(&what("output"), &got.y, &expected.y, tolerance + 8e-3);
        assert_close(&what("gradient of the input"), &got.x, &expected.x, tolerance + 4e-3);
        assert_close(&what("gradient of the weight"), &got.weight, &expected.weight, tolerance);
        assert_close(&what("gradient of the bias"), &got.bias, &expected.bias, 5e-6);
    }
}

#[test]
fn what_batch_norm_follows_is_the_same_in_groups() {
    let case = Case::in_groups([5, 6, 7, 12], 24, ConvGeometry::square(3, 2, 1), 4);
    let (weight, _) = case.parameters();
    let x = image(case.shape, &case.x);
    let plain = grouped_conv2d(x.share(), &weight, None, case.geometry, 4).unwrap();
    let summed = grouped_conv2d_before_norm(x, &weight, case.geometry, 4).unwrap();
    assert_eq!(plain.to_nhwc(), summed.to_nhwc());
    let mut oracle = case.oracle().y;
    oracle.iter_mut().enumerate().for_each(|(i, y)| *y -= f64::from(case.bias[i % 24]));
    assert_close("without a bias", &plain.to_nhwc(), &oracle, 2e-6);
}

#[test]
fn one_group_is_a_convolution() {
    let case = Case::new([5, 6, 7, 6], 8, ConvGeometry::square(3, 1, 1));
    let (weight, bias) = case.parameters();
    let x = image(case.shape, &case.x);
    let plain = conv2d(x.share(), &weight, Some(&bias), case.geometry, DIRECT).unwrap();
    let grouped = grouped_conv2d(x, &weight, Some(&bias), case.geometry, 1).unwrap();
    assert_eq!(plain.to_nhwc(), grouped.to_nhwc());
}

#[test]
fn groups_that_do_not_divide_the_channels_are_errors() {
    let case = Case::in_groups([2, 4, 4, 6], 9, ConvGeometry::square(3, 1, 1), 3);
    let (weight, _) = case.parameters();
    let run = |groups| grouped_conv2d(image(case.shape, &case.x), &weight, None, case.geometry, groups);
    assert!(run(3).is_ok());
    for groups in [0, 2, 4, 9] {
        let error = run(groups).map(drop).unwrap_err().to_string();
        let must = "it must divide the channels of the input and those of the output";
        assert_eq!(error, format!("conv2d: the number of groups is {groups}, but {must}"));
    }
    // One group wants weights of all channels.
    assert!(matches!(run(1), Err(OpError::Shape { .. })));
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let one_group = Case::new([37, 8, 8, 32], 80, ConvGeometry::square(3, 1, 1));
    let groups = Case::in_groups([37, 16, 16, 32], 32, ConvGeometry::square(3, 2, 1), 8);
    let run = |case: &Case, n_threads: usize, precision: Precision, algorithm: ConvAlgorithm| {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let outcome = pool.install(|| case.run_in(precision, Family::detected(), algorithm));
        [outcome.y, outcome.x, outcome.weight, outcome.bias].concat()
    };
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    for precision in [Precision::F32, Precision::Bf16] {
        for algorithm in [DIRECT, ConvAlgorithm::Winograd] {
            for case in [&one_group, &groups] {
                let [one, three] = [1, 3].map(|n_threads| run(case, n_threads, precision, algorithm));
                assert_eq!(bits(one), bits(three), "{algorithm:?}, {precision:?}, {} groups", case.groups);
            }
        }
    }
}

#[test]
fn gradients_that_reach_an_input_by_two_branches_add_up() {
    let three = ConvGeometry::square(3, 1, 1);
    let cases = [
        (Case::new([5, 6, 6, 4], 4, three), DIRECT),
        (Case::new([5, 6, 6, 32], 32, three), ConvAlgorithm::Winograd),
        (Case::new([5, 6, 6, 4], 4, ConvGeometry::square(1, 1, 0)), DIRECT),
        (Case::in_groups([5, 6, 6, 8], 8, three, 4), DIRECT),
    ];
    for (case, algorithm) in cases {
        let case = case.rounded();
        let convolve = |x, weight: &Parameter, bias: Option<&Parameter>| {
            if case.groups > 1 {
                return grouped_conv2d(x, weight, bias, case.geometry, case.groups);
            }
            conv2d(x, weight, bias, case.geometry, algorithm)
        };
        // Winograd rounds what it has transformed, if its inputs are rounded; so is each sum, and what it is a sum of.
        for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::Bf16, 2e-2)] {
            let (weight, bias) = case.parameters();
            let x = image(case.shape, &case.x).with_precision(precision).unwrap();
            let (input, shortcut) = (x.share(), x.share());
            let other = convolve(x.fork(), &weight, None).unwrap();
            let y = convolve(x, &weight, Some(&bias)).unwrap();
            let y = add(add(y, shortcut).unwrap(), other).unwrap();
            let mut gradients = backward_weighted(y, &case.weights);
            let once = case.oracle();
            let expected: Vec<f64> =
                once.x.iter().zip(&case.weights).map(|(x, &own)| 2.0 * x + f64::from(own)).collect();
            assert_close("input", &input.gradient(&mut gradients).unwrap().unwrap(), &expected, tolerance);
            let doubled: Vec<f64> = once.weight.iter().map(|weight| 2.0 * weight).collect();
            assert_close("weight", &weight.gradient(&mut gradients).unwrap().unwrap(), &doubled, tolerance);
        }
    }
}

#[test]
fn frozen_parameters_and_images_get_no_gradient() {
    let case = Case::new([2, 4, 4, 3], 5, ConvGeometry::square(3, 1, 1));
    let (mut weight, bias) = case.parameters();
    weight.set_trainable(false);
    let x = FeatureMap::from_nhwc(&Device::default(), case.shape, &case.x, Recording::start()).unwrap();
    let input = x.share();
    let y = conv2d(x, &weight, Some(&bias), case.geometry, DIRECT).unwrap();
    let mut gradients = backward_weighted(y, &case.weights);
    assert_eq!(input.gradient(&mut gradients).unwrap(), None);
    assert_eq!(weight.gradient(&mut gradients).unwrap(), None);
    assert!(bias.gradient(&mut gradients).unwrap().is_some());
}

#[test]
fn what_is_not_recorded_keeps_nothing() {
    let case = Case::new([2, 4, 4, 3], 5, ConvGeometry::square(3, 1, 1));
    let (weight, bias) = case.parameters();
    let x = FeatureMap::from_nhwc(&Device::default(), case.shape, &case.x, Recording::Off).unwrap();
    let kept = x.share();
    let y = conv2d(x, &weight, Some(&bias), case.geometry, DIRECT).unwrap();
    assert!(!y.is_recorded());
    assert_eq!(std::sync::Arc::strong_count(&kept.values), 1);
}

#[test]
fn wrong_shapes_are_errors() {
    let case = Case::new([2, 4, 4, 3], 5, ConvGeometry::square(3, 1, 1));
    let (weight, bias) = case.parameters();
    let run = |shape: [usize; 4], geometry, bias: &Parameter| {
        conv2d(image(shape, &noise(1, shape.iter().product())), &weight, Some(bias), geometry, DIRECT)
            .map(drop)
    };
    assert!(matches!(run([2, 4, 4, 4], case.geometry, &bias), Err(OpError::Shape { .. })));
    assert!(matches!(run(case.shape, ConvGeometry::square(5, 1, 2), &bias), Err(OpError::Shape { .. })));
    assert!(matches!(run(case.shape, case.geometry, &vector(&[0.0])), Err(OpError::Shape { .. })));
    assert!(matches!(run([2, 2, 2, 3], ConvGeometry::square(3, 1, 0), &bias), Err(OpError::Value { .. })));
    assert!(matches!(run(case.shape, ConvGeometry::square(3, 0, 1), &bias), Err(OpError::Value { .. })));
    let pixel = Case::new([1, 1, 1, 1], 1, ConvGeometry::square(1, 1, 0)).parameters();
    let wide = ConvGeometry::square(1, 1, 1 << 40);
    let result = conv2d(image([1, 1, 1, 1], &[1.0]), &pixel.0, Some(&pixel.1), wide, DIRECT);
    let error = result.map(drop).unwrap_err().to_string();
    assert!(error.ends_with("but it has more values than can be counted"), "{error}");
    assert!(matches!(
        conv2d(image(case.shape, &case.x), &bias, None, case.geometry, DIRECT),
        Err(OpError::Shape { .. })
    ));
}
