//! Convolution, batch norm and pools.

use kernels_cpu::{ConvGeometry, Layout, Precision};

use super::*;
use crate::{
    conv::Convolution,
    norm::{self, Coefficients, Learned, Mask, Moments, Over, Running},
    pool::{self, Window},
};

/// Calls `visit` with the places of every output, input and weight that meet.
fn each_product(
    Convolution { geometry, groups, from, to }: Convolution,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let (n_in, n_out) = (from.c / groups, to.c / groups);
    let ConvGeometry { kernel, stride, padding } = geometry;
    for (n, y, x) in (0..to.n).flat_map(|n| (0..to.h).flat_map(move |y| (0..to.w).map(move |x| (n, y, x)))) {
        for (ky, kx) in (0..kernel.0).flat_map(|ky| (0..kernel.1).map(move |kx| (ky, kx))) {
            let (iy, ix) = (y * stride.0 + ky, x * stride.1 + kx);
            if iy < padding.0 || ix < padding.1 || iy - padding.0 >= from.h || ix - padding.1 >= from.w {
                continue;
            }
            let input = ((n * from.h + iy - padding.0) * from.w + ix - padding.1) * from.c;
            let output = ((n * to.h + y) * to.w + x) * to.c;
            for (i, o) in (0..from.c).flat_map(|i| (0..to.c).map(move |o| (i, o))) {
                if i / n_in == o / n_out {
                    visit(output + o, input + i, ((ky * kernel.1 + kx) * n_in + i % n_in) * to.c + o);
                }
            }
        }
    }
}

fn convolution(from: Layout, n_out: usize, geometry: ConvGeometry) -> Convolution {
    let (h, w) = geometry.output(from.h, from.w).unwrap();
    Convolution { geometry, groups: 1, from, to: Layout { n: from.n, h, w, c: n_out } }
}

#[test]
fn convolutions_are_their_definition() {
    let of = |n, h, w, c| Layout { n, h, w, c };
    for (from, n_out, geometry, groups) in [
        (of(3, 7, 5, 16), 24, ConvGeometry::square(3, 1, 1), 1),
        (of(2, 9, 9, 8), 72, ConvGeometry::square(3, 2, 1), 1),
        (of(2, 6, 7, 3), 5, ConvGeometry { kernel: (2, 3), stride: (1, 2), padding: (1, 0) }, 1),
        (of(2, 5, 5, 8), 16, ConvGeometry::square(1, 1, 0), 1),
        (of(2, 6, 6, 8), 16, ConvGeometry::square(1, 2, 0), 1),
        (of(3, 7, 5, 32), 32, ConvGeometry::square(3, 1, 1), 8),
        (of(2, 9, 9, 32), 64, ConvGeometry::square(3, 2, 1), 4),
        (of(2, 9, 8, 13), 13, ConvGeometry::square(3, 2, 1), 13),
        (of(2, 6, 7, 12), 10, ConvGeometry { kernel: (2, 3), stride: (1, 2), padding: (1, 0) }, 2),
        (of(2, 5, 5, 8), 16, ConvGeometry::square(1, 1, 0), 4),
        (of(5, 8, 8, 6), 6, ConvGeometry::square(7, 1, 3), 6),
    ] {
        let conv = Convolution { groups, ..convolution(from, n_out, geometry) };
        let n_weights = geometry.kernel.0 * geometry.kernel.1 * (from.c / groups) * n_out;
        for (precision, tolerance) in PRECISIONS {
            let what = format!("{conv:?}, {precision:?}");
            let (x, values) = array(1, from.len(), precision);
            let (weights, of_weight) = weight(2, n_weights, precision);
            let forms = Forms::default();
            let weight = Weight { values: &weights, forms: &forms };
            let (gradient, by_output) = array(3, conv.to.len(), precision);
            let (_, was) = array(4, from.len(), precision);
            let (mut y, mut by_x, mut by_weight) =
                (vec![0.0; conv.to.len()], was.clone(), vec![0.0; n_weights]);
            each_product(conv, |o, i, w| {
                y[o] += values[i] * of_weight[w];
                by_x[i] += by_output[o] * of_weight[w];
                by_weight[w] += by_output[o] * values[i];
            });
            check(&what, &conv.forward(&x, weight, None).unwrap(), &y, tolerance);
            let bias = noise(5, n_out);
            let with_bias: Vec<f64> =
                y.iter().enumerate().map(|(i, y)| y + f64::from(bias[i % n_out])).collect();
            let got = conv.forward(&x, weight, Some(&upload(&bias).unwrap())).unwrap();
            check(&what, &got, &with_bias, tolerance);
            let before = Some(array(4, from.len(), precision).0);
            check(
                &what,
                &conv.data_gradient(&gradient, weight, precision, before).unwrap(),
                &by_x,
                tolerance,
            );
            let got = conv.weight_gradient(&x, &gradient, None).unwrap();
            check(&what, &got, &by_weight, 1e-5);
            let got = conv.weight_gradient(&x, &gradient, Some(got)).unwrap();
            check(&what, &got, &plus(&by_weight, &by_weight), 1e-5);
        }
    }
}

/// A batch norm's numbers, by group and channel.
struct NormOracle {
    mean: Vec<f64>,
    inv_std: Vec<f64>,
}

impl NormOracle {
    fn new(over: Over, x: &[f64]) -> Self {
        let Over { layout, n_groups } = over;
        let of = |at: usize| {
            let own = |i: &usize| group_of(over, *i) == at / layout.c && i % layout.c == at % layout.c;
            (0..x.len()).filter(own).map(|i| x[i]).collect::<Vec<f64>>()
        };
        let (mut mean, mut inv_std) = (Vec::new(), Vec::new());
        for at in 0..n_groups * layout.c {
            let own = of(at);
            let m = own.iter().sum::<f64>() / own.len() as f64;
            let var = own.iter().map(|value| (value - m).powi(2)).sum::<f64>() / own.len() as f64;
            mean.push(m);
            inv_std.push(1.0 / (var + 1e-5).sqrt());
        }
        Self { mean, inv_std }
    }
}

fn group_of(Over { layout, n_groups }: Over, i: usize) -> usize {
    i / (layout.h * layout.w * layout.c) % n_groups
}

#[test]
fn batch_normalization_is_its_definition() {
    for (layout, n_groups) in [
        (Layout { n: 6, h: 5, w: 3, c: 8 }, 1),
        (Layout { n: 6, h: 5, w: 3, c: 7 }, 3),
        (Layout { n: 4, h: 9, w: 9, c: 36 }, 2),
    ] {
        let over = Over { layout, n_groups };
        for (precision, tolerance) in PRECISIONS {
            let (x, values) = array(1, layout.len(), precision);
            let (residual, others) = array(2, layout.len(), precision);
            let (scale, shift) = (noise(3, layout.c), noise(4, layout.c));
            let oracle = NormOracle::new(over, &values);
            let at = |i: usize| group_of(over, i) * layout.c + i % layout.c;
            let normalized: Vec<f64> =
                (0..layout.len()).map(|i| (values[i] - oracle.mean[at(i)]) * oracle.inv_std[at(i)]).collect();
            let affine =
                |i: usize| normalized[i] * f64::from(scale[i % layout.c]) + f64::from(shift[i % layout.c]);
            let (scales, shifts) = (upload(&scale).unwrap(), upload(&shift).unwrap());
            let learned = Learned { scale: Some(&scales), shift: Some(&shifts), eps: 1e-5 };
            let (mut mean, mut var) =
                (upload(&vec![0.0; layout.c]).unwrap(), upload(&vec![1.0; layout.c]).unwrap());
            let running = Running { mean: &mut mean, var: &mut var, momentum: 0.1 };
            let moments = Moments::of(over, &x).unwrap();
            let coefficients = Coefficients::of_batch(over, &moments, learned, running).unwrap();
            let means: Vec<f64> = (0..layout.c)
                .map(|c| {
                    0.1 * (0..n_groups).map(|group| oracle.mean[group * layout.c + c]).sum::<f64>()
                        / n_groups as f64
                })
                .collect();
            assert_close("running", &crate::download(&mean).unwrap(), &means, 1e-5);
            for (with_residual, with_relu) in [(false, false), (false, true), (true, true)] {
                let what = format!("{over:?}, {precision:?}, {with_residual}, {with_relu}");
                let sum: Vec<f64> = (0..layout.len())
                    .map(|i| affine(i) + if with_residual { others[i] } else { 0.0 })
                    .collect();
                let y: Vec<f64> =
                    sum.iter().map(|&value| if with_relu { value.max(0.0) } else { value }).collect();
                let got =
                    norm::normalize(over, &coefficients, &x, with_residual.then_some(&residual), with_relu)
                        .unwrap();
                check(&what, &got, &y, tolerance);
                let mask = match (with_residual, with_relu) {
                    (_, false) => Mask::Nothing,
                    (false, true) => Mask::Input,
                    (true, true) => Mask::Output(&got),
                };
                backward_is_right(
                    &what,
                    over,
                    (&coefficients, &x, mask),
                    (&normalized, &oracle, &scale),
                    &sum,
                );
            }
        }
    }
}

fn backward_is_right(
    what: &str,
    over: Over,
    (coefficients, x, mask): (&Coefficients, &Array, Mask<'_>),
    (normalized, oracle, scale): (&[f64], &NormOracle, &[f32]),
    sum: &[f64],
) {
    let Over { layout, n_groups } = over;
    let precision = x.precision();
    let tolerance = if precision == Precision::F32 { 1e-5 } else { 1.5e-2 };
    let n_of_group = (layout.n_rows() / n_groups) as f64;
    let at = |i: usize| group_of(over, i) * layout.c + i % layout.c;
    let (_, by_y) = array(5, layout.len(), precision);
    let (_, was) = array(6, layout.len(), precision);
    let is_masked = !matches!(mask, Mask::Nothing);
    let masked: Vec<f64> =
        by_y.iter().zip(sum).map(|(g, sum)| if is_masked && *sum <= 0.0 { 0.0 } else { *g }).collect();
    let (mut plain, mut along) = (vec![0.0; n_groups * layout.c], vec![0.0; n_groups * layout.c]);
    for i in 0..layout.len() {
        plain[at(i)] += masked[i];
        along[at(i)] += masked[i] * normalized[i];
    }
    let by_x: Vec<f64> = (0..layout.len())
        .map(|i| {
            let spread = masked[i] - (plain[at(i)] + normalized[i] * along[at(i)]) / n_of_group;
            f64::from(scale[i % layout.c]) * oracle.inv_std[at(i)] * spread
        })
        .collect();
    let of_channel = |sums: &[f64]| -> Vec<f64> {
        (0..layout.c).map(|c| sums.iter().skip(c).step_by(layout.c).sum()).collect()
    };
    for (wants_x, with_before, keeps) in [
        (true, false, false),
        (true, true, false),
        (true, false, true),
        (true, true, true),
        (false, false, true),
    ] {
        let what = format!("{what}, x {wants_x}, before {with_before}, masked {keeps}");
        let before = with_before.then(|| array(6, layout.len(), precision).0);
        let wanted = norm::Wanted { x: wants_x, before, masked: keeps };
        let gradient = array(5, layout.len(), precision).0;
        let got = norm::Backward::new(over, coefficients, x, mask, gradient)
            .and_then(|first| first.finish(wanted))
            .unwrap();
        check(&what, &got.scale, &of_channel(&along), 1e-4);
        check(&what, &got.shift, &of_channel(&plain), 1e-4);
        assert_eq!((got.x.is_some(), got.masked.is_some()), (wants_x, keeps), "{what}");
        if let Some(got) = got.x {
            let expected = if with_before { plus(&by_x, &was) } else { by_x.clone() };
            check(&what, &got, &expected, tolerance);
        }
        if let Some(got) = got.masked {
            check(&what, &got, &masked, 0.0);
        }
    }
}

/// Shares of a batch have the statistics and gradients of the batch once they know the sums of all.
#[test]
fn shares_of_a_batch_are_normalized_as_the_batch() {
    let whole = Layout { n: 7, h: 5, w: 3, c: 37 };
    let (scale, shift) = (upload(&noise(3, whole.c)).unwrap(), upload(&noise(4, whole.c)).unwrap());
    let learned = Learned { scale: Some(&scale), shift: Some(&shift), eps: 1e-5 };
    let over = |n: usize| Over { layout: Layout { n, ..whole }, n_groups: 1 };
    let n_before = 2 * whole.h * whole.w * whole.c;
    for (precision, tolerance) in PRECISIONS {
        let (x, values) = array(1, whole.len(), precision);
        let (gradient, by_y) = array(2, whole.len(), precision);
        let shares = |values: &[f64]| {
            let narrow = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
            let (first, second) = values.split_at(n_before);
            [first, second].map(|own| Array::upload(narrow(own)).unwrap().into_precision(precision).unwrap())
        };
        let running = || [0.0, 1.0].map(|value| upload(&vec![value; whole.c]).unwrap());
        let [mut mean, mut var] = running();
        let expected_running = Running { mean: &mut mean, var: &mut var, momentum: 0.1 };
        let moments = Moments::of(over(7), &x).unwrap();
        let expected = Coefficients::of_batch(over(7), &moments, learned, expected_running).unwrap();
        let expected_y = norm::normalize(over(7), &expected, &x, None, true).unwrap().to_host().unwrap();
        let wanted = || norm::Wanted { x: true, before: None, masked: false };
        let of_whole = norm::Backward::new(over(7), &expected, &x, Mask::Input, gradient)
            .unwrap()
            .finish(wanted())
            .unwrap();

        let own = shares(&values);
        let sums = |i: usize| Moments::of(over([2, 5][i]), &own[i]).unwrap().fetch().unwrap();
        let add = |[a, b]: [[Vec<f64>; 2]; 2]| [plus(&a[0], &b[0]), plus(&a[1], &b[1])];
        let [sum, squares] = add([sums(0), sums(1)]);
        let n_values = over(7).n_values();
        let means: Vec<f64> = sum.iter().map(|sum| sum / n_values).collect();
        let vars: Vec<f64> =
            squares.iter().zip(&means).map(|(squares, mean)| squares / n_values - mean * mean).collect();
        let [mut own_mean, mut own_var] = running();
        let moved = Running { mean: &mut own_mean, var: &mut own_var, momentum: 0.1 };
        let coefficients = Coefficients::of_statistics(&means, &vars, n_values, learned, moved).unwrap();
        for (got, expected) in [(&own_mean, &mean), (&own_var, &var)] {
            let expected = wide(&crate::download(expected).unwrap());
            assert_close("running", &crate::download(got).unwrap(), &expected, 1e-6);
        }
        let gradients = shares(&by_y);
        let mut passes = [0, 1].map(|i| {
            let over = over([2, 5][i]);
            let y = norm::normalize(over, &coefficients, &own[i], None, true).unwrap();
            let expected = if i == 0 { &expected_y[..n_before] } else { &expected_y[n_before..] };
            check("output", &y, &wide(expected), tolerance);
            let gradient = gradients[i].to_host().unwrap();
            let gradient = Array::upload(gradient).unwrap();
            norm::Backward::new(over, &coefficients, &own[i], Mask::Input, gradient).unwrap()
        });
        let of_all = add(passes.each_ref().map(|pass| pass.sums().unwrap()));
        passes.iter_mut().for_each(|pass| pass.set_sums_of_all(of_all.clone()).unwrap());
        let [first, second] = passes.map(|pass| pass.finish(wanted()).unwrap());
        let by_x = of_whole.x.unwrap().to_host().unwrap();
        check("input", &first.x.unwrap(), &wide(&by_x[..n_before]), tolerance);
        check("input", &second.x.unwrap(), &wide(&by_x[n_before..]), tolerance);
        let host = |of: &Array| wide(&of.to_host().unwrap());
        check("scale", &of_whole.scale, &plus(&host(&first.scale), &host(&second.scale)), 1e-5);
        check("shift", &of_whole.shift, &plus(&host(&first.shift), &host(&second.shift)), 1e-5);
    }
}

#[test]
fn pools_are_their_definition() {
    let from = Layout { n: 2, h: 7, w: 6, c: 5 };
    for geometry in [ConvGeometry::square(3, 2, 1), ConvGeometry::square(2, 1, 0)] {
        let conv = convolution(from, from.c, geometry);
        let window = Window { geometry, from, to: conv.to };
        let share = 1.0 / (geometry.kernel.0 * geometry.kernel.1) as f64;
        for (precision, tolerance) in PRECISIONS {
            let (x, values) = array(1, from.len(), precision);
            let (gradient, by_y) = array(2, conv.to.len(), precision);
            let (mut largest, mut places) = (vec![f64::MIN; conv.to.len()], vec![0; conv.to.len()]);
            let (mut mean, mut by_mean) = (vec![0.0; conv.to.len()], vec![0.0; from.len()]);
            each_product(conv, |o, i, _| {
                if o % from.c != i % from.c {
                    return;
                }
                mean[o] += values[i] * share;
                by_mean[i] += by_y[o] * share;
                if values[i] > largest[o] {
                    (largest[o], places[o]) = (values[i], i);
                }
            });
            let (_, mut by_largest) = array(3, from.len(), precision);
            for (o, &i) in places.iter().enumerate() {
                by_largest[i] += by_y[o];
            }
            let (got, taps) = pool::largest(window, &x).unwrap();
            check("largest", &got, &largest, 0.0);
            let before = Some(array(3, from.len(), precision).0);
            let got = pool::largest_gradient(window, &taps, &gradient, before).unwrap();
            check("largest_gradient", &got, &by_largest, tolerance);
            check("average", &pool::average(window, &x).unwrap(), &mean, tolerance);
            let got = pool::average_gradient(window, &gradient, None).unwrap();
            check("average_gradient", &got, &by_mean, tolerance);
        }
    }
}
