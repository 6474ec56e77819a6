//! Pools, against their definitions in double precision.

use rayon::ThreadPoolBuilder;

use super::{average, average_gradient, global_average, global_average_gradient, largest, largest_gradient};
use crate::{
    ConvGeometry, Family, Layout, Precision, Values,
    testing::{assert_close, differences, families, noise, wide},
};

/// The second has more values in a pixel than a chunk, and neither has whole registers of them.
const SHAPES: [Layout; 2] = [Layout { n: 18, h: 5, w: 6, c: 3 }, Layout { n: 11, h: 3, w: 4, c: 95 }];

fn geometries() -> [ConvGeometry; 5] {
    let tall = ConvGeometry { kernel: (4, 2), stride: (1, 3), padding: (2, 1) };
    let skipping = ConvGeometry { kernel: (1, 2), stride: (2, 3), padding: (0, 0) };
    let [overlapping, halving, valid] = [(3, 2, 1), (2, 2, 0), (3, 1, 0)]
        .map(|(kernel, stride, padding)| ConvGeometry::square(kernel, stride, padding));
    [overlapping, halving, valid, tall, skipping]
}

fn pooled(from: Layout, geometry: ConvGeometry) -> Layout {
    let (h, w) = geometry.output(from.h, from.w).unwrap();
    Layout { h, w, ..from }
}

/// The places of the values in each window, inside the image and row after row, for values laid as `from` and `to`.
fn places(geometry: ConvGeometry, from: Layout, to: Layout) -> Vec<Vec<usize>> {
    let place = |layout: Layout, image: usize, y: usize, x: usize, channel: usize| {
        let (block, i) = (image / crate::IMAGES_IN_BLOCK, image % crate::IMAGES_IN_BLOCK);
        let n = layout.n_in_block(block);
        layout.block_start(block) + ((y * layout.w + x) * n + i) * layout.c + channel
    };
    let mut places = vec![Vec::new(); to.len()];
    for (image, channel) in (0..to.n).flat_map(|image| (0..to.c).map(move |channel| (image, channel))) {
        for (out_y, out_x) in (0..to.h).flat_map(|y| (0..to.w).map(move |x| (y, x))) {
            let window = &mut places[place(to, image, out_y, out_x, channel)];
            for (tap_y, tap_x) in
                (0..geometry.kernel.0).flat_map(|y| (0..geometry.kernel.1).map(move |x| (y, x)))
            {
                let y = (out_y * geometry.stride.0 + tap_y).wrapping_sub(geometry.padding.0);
                let x = (out_x * geometry.stride.1 + tap_x).wrapping_sub(geometry.padding.1);
                if y < from.h && x < from.w {
                    window.push(place(from, image, y, x, channel));
                }
            }
        }
    }
    places
}

fn reduced(places: &[Vec<usize>], x: &[f64], reduce: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let values = |window: &Vec<usize>| window.iter().map(|&at| x[at]).collect::<Vec<_>>();
    places.iter().map(|window| reduce(&values(window))).collect()
}

/// How far a result may be off that is rounded at its end.
fn tolerance(precision: Precision) -> f64 {
    if precision == Precision::F32 { 1e-6 } else { 4e-3 }
}

/// A pool's output for `x`, and the gradient of `x` for that of the output.
type Pool = fn(Family, ConvGeometry, Layout, Layout, &Values, &Values) -> (Values, Values);

fn max(
    family: Family,
    geometry: ConvGeometry,
    from: Layout,
    to: Layout,
    x: &Values,
    weights: &Values,
) -> (Values, Values) {
    let (y, taps) = largest(family, geometry, from, to, x);
    (y, largest_gradient(family, geometry, from, to, &taps, weights))
}

fn mean(
    family: Family,
    geometry: ConvGeometry,
    from: Layout,
    to: Layout,
    x: &Values,
    weights: &Values,
) -> (Values, Values) {
    (average(family, geometry, from, to, x), average_gradient(family, geometry, from, to, weights))
}

/// Compares a pool with what reduces the values of a window, and with the slopes of that.
fn check(
    pool: Pool,
    reduce: impl Fn(&[f64], ConvGeometry) -> f64,
    slopes: impl Fn(&[f64], ConvGeometry) -> Vec<f64>,
) {
    for (from, geometry) in SHAPES.into_iter().flat_map(|from| geometries().map(|geometry| (from, geometry)))
    {
        let to = pooled(from, geometry);
        let places = places(geometry, from, to);
        for precision in [Precision::F32, Precision::Bf16] {
            let [x, weights] =
                [(1, from), (2, to)].map(|(seed, of)| Values::new(noise(seed, of.len()), precision));
            let oracle = |x: &[f64]| reduced(&places, x, |values| reduce(values, geometry));
            let expected = oracle(&wide(&x.whole()));
            let by_x = gradient_by_window(&places, &x, &weights, |values| slopes(values, geometry));
            for family in families() {
                let what = format!("{family:?} {precision:?} {from:?} {geometry:?}");
                let (y, gradient) = pool(family, geometry, from, to, &x, &weights);
                assert_eq!((y.precision(), gradient.precision()), (precision, precision));
                assert_close(&what, &y.whole(), &expected, tolerance(precision));
                assert_close(&what, &gradient.whole(), &by_x, tolerance(precision));
            }
        }
    }
}

/// The gradient of the weighted sum of all windows, from the slopes of one window at a time.
fn gradient_by_window(
    places: &[Vec<usize>],
    x: &Values,
    weights: &Values,
    slopes: impl Fn(&[f64]) -> Vec<f64>,
) -> Vec<f64> {
    let (x, weights) = (wide(&x.whole()), wide(&weights.whole()));
    let mut gradient = vec![0.0; x.len()];
    for (window, weight) in places.iter().zip(weights) {
        let values: Vec<f64> = window.iter().map(|&at| x[at]).collect();
        for (&at, slope) in window.iter().zip(slopes(&values)) {
            gradient[at] += weight * slope;
        }
    }
    gradient
}

fn largest_of(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// By differences or, where the largest values are too close for that, 1 for the first of them.
fn slopes_of_largest(values: &[f64]) -> Vec<f64> {
    let best = largest_of(values);
    if values.iter().filter(|&&value| value > best - 1e-4).count() == 1 {
        return differences(largest_of, values);
    }
    let first = values.iter().position(|&value| value == best);
    (0..values.len()).map(|at| if Some(at) == first { 1.0 } else { 0.0 }).collect()
}

#[test]
fn the_max_pool_agrees_with_its_definition_and_with_differences() {
    check(max, |values, _| largest_of(values), |values, _| slopes_of_largest(values));
}

#[test]
fn the_average_pool_agrees_with_its_definition_and_with_differences() {
    let mean_of = |values: &[f64], geometry: ConvGeometry| {
        values.iter().sum::<f64>() / (geometry.kernel.0 * geometry.kernel.1) as f64
    };
    check(mean, mean_of, |values, geometry| differences(|values| mean_of(values, geometry), values));
}

/// One image of one channel, which is one block: values lie row after row.
fn square(side: usize) -> Layout {
    Layout { n: 1, h: side, w: side, c: 1 }
}

#[test]
fn taps_are_those_of_the_first_of_equal_values_or_of_what_is_not_a_number() {
    let nan = f32::NAN;
    let cases = [
        ([1.0, 2.0, 2.0, 2.0], 1),
        ([-0.0, 0.0, -1.0, -1.0], 0),
        ([f32::NEG_INFINITY; 4], 0),
        ([f32::INFINITY, nan, f32::INFINITY, 0.0], 1),
        ([nan, 1.0, -nan, 3.0], 2),
    ];
    let geometry = ConvGeometry::square(2, 1, 0);
    for (family, precision) in
        families().into_iter().flat_map(|f| [(f, Precision::F32), (f, Precision::Bf16)])
    {
        for (values, tap) in cases {
            let x = Values::new(values.to_vec(), precision);
            let (y, taps) = largest(family, geometry, square(2), square(1), &x);
            assert_eq!(taps, [tap], "{family:?} {precision:?} {values:?}");
            let expected = values[usize::from(tap)];
            assert!(y.whole()[0] == expected || y.whole()[0].is_nan() && expected.is_nan());
            let one = Values::new(vec![3.0], precision);
            let gradient = largest_gradient(family, geometry, square(2), square(1), &taps, &one);
            let mut given = [0.0; 4];
            given[usize::from(tap)] = 3.0;
            assert_eq!(*gradient.whole(), given);
        }
    }
}

#[test]
fn padding_is_never_the_largest_but_counts_as_taps() {
    let geometry = ConvGeometry::square(3, 1, 1);
    for family in families() {
        let (y, taps) = largest(family, geometry, square(1), square(1), &Values::F32(vec![-5.0]));
        assert_eq!((&*y.whole(), &taps[..]), (&[-5.0][..], &[4][..]));
    }
}

#[test]
fn the_global_pool_is_the_mean_over_positions() {
    for from in [SHAPES[0], SHAPES[1], Layout { n: 17, h: 2, w: 2, c: 300 }] {
        let whole = ConvGeometry { kernel: (from.h, from.w), stride: (1, 1), padding: (0, 0) };
        let places = places(whole, from, Layout { h: 1, w: 1, ..from });
        let mean = |values: &[f64]| values.iter().sum::<f64>() / (from.h * from.w) as f64;
        let weights = noise(2, from.n * from.c);
        for precision in [Precision::F32, Precision::Bf16] {
            let x = Values::new(noise(1, from.len()), precision);
            let expected = reduced(&places, &wide(&x.whole()), mean);
            let by_x = gradient_by_window(&places, &x, &Values::F32(weights.clone()), |values| {
                differences(mean, values)
            });
            for family in families() {
                let what = format!("{family:?} {precision:?} {from:?}");
                assert_close(&what, &global_average(family, from, &x), &expected, 1e-6);
                let gradient = global_average_gradient(family, from, &weights, precision);
                assert_eq!(gradient.precision(), precision);
                assert_close(&what, &gradient.whole(), &by_x, tolerance(precision));
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (from, geometry) = (Layout { n: 35, h: 17, w: 18, c: 40 }, ConvGeometry::square(3, 2, 1));
    let to = pooled(from, geometry);
    for (family, precision) in
        families().into_iter().flat_map(|f| [(f, Precision::F32), (f, Precision::Bf16)])
    {
        let [x, weights] =
            [(1, from), (2, to)].map(|(seed, of)| Values::new(noise(seed, of.len()), precision));
        let run = |n_threads: usize| {
            ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap().install(|| {
                let (largest, by_largest) = max(family, geometry, from, to, &x, &weights);
                let (average, by_average) = mean(family, geometry, from, to, &x, &weights);
                let global = global_average(family, from, &x);
                let by_global = global_average_gradient(family, from, &global, precision);
                let maps = [largest, by_largest, average, by_average, by_global].map(Values::into_whole);
                [maps.concat(), global].concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(64), "{family:?} {precision:?}");
    }
}
