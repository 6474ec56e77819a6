use super::{average_pool, global_average_pool, max_pool};
use crate::{
    ConvGeometry, FeatureMap, OpError,
    testing::{
        assert_close, backward_weighted, backward_weighted_rows, differences, image, in_each_family, noise,
        weighted, wide,
    },
};

/// Each window's values inside the image, in row-major order, to one value.
fn oracle(
    x: &[f64],
    [n, h, w, c]: [usize; 4],
    geometry: ConvGeometry,
    reduce: impl Fn(&[f64]) -> f64,
) -> Vec<f64> {
    let (out_h, out_w) = geometry.output(h, w).unwrap();
    let mut y = Vec::new();
    for (image, out_y) in (0..n).flat_map(|image| (0..out_h).map(move |y| (image, y))) {
        for (out_x, channel) in (0..out_w).flat_map(|x| (0..c).map(move |channel| (x, channel))) {
            let mut values = Vec::new();
            for (tap_y, tap_x) in
                (0..geometry.kernel.0).flat_map(|y| (0..geometry.kernel.1).map(move |x| (y, x)))
            {
                let y = (out_y * geometry.stride.0 + tap_y).wrapping_sub(geometry.padding.0);
                let x_pos = (out_x * geometry.stride.1 + tap_x).wrapping_sub(geometry.padding.1);
                if y < h && x_pos < w {
                    values.push(x[((image * h + y) * w + x_pos) * c + channel]);
                }
            }
            y.push(reduce(&values));
        }
    }
    y
}

const SHAPES: [[usize; 4]; 2] = [[5, 7, 9, 3], [17, 4, 5, 5]];

fn geometries() -> [ConvGeometry; 4] {
    let tall = ConvGeometry { kernel: (4, 2), stride: (1, 3), padding: (2, 1) };
    [ConvGeometry::square(3, 2, 1), ConvGeometry::square(2, 2, 0), ConvGeometry::square(3, 1, 0), tall]
}

#[test]
fn pools_agree_with_the_definition_and_with_differences() {
    in_each_family(|| {
        for (shape, geometry) in
            SHAPES.into_iter().flat_map(|shape| geometries().map(|geometry| (shape, geometry)))
        {
            let [n, h, w, c] = shape;
            let (out_h, out_w) = geometry.output(h, w).unwrap();
            let (x, weights) = (noise(1, n * h * w * c), noise(2, n * out_h * out_w * c));
            let n_taps = (geometry.kernel.0 * geometry.kernel.1) as f64;
            for is_max in [true, false] {
                let reduce = |values: &[f64]| {
                    if is_max {
                        values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
                    } else {
                        values.iter().sum::<f64>() / n_taps
                    }
                };
                let input = image(shape, &x);
                let kept = input.share();
                let y =
                    if is_max { max_pool(input, geometry) } else { average_pool(input, geometry) }.unwrap();
                assert_close("output", &y.to_nhwc(), &oracle(&wide(&x), shape, geometry, reduce), 1e-6);
                let mut gradients = backward_weighted(y, &weights);
                let by_x =
                    differences(|x| weighted(&oracle(x, shape, geometry, reduce), &weights), &wide(&x));
                assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-6);
            }
        }
    });
}

#[test]
fn of_equal_values_the_first_gets_the_gradient() {
    in_each_family(|| {
        let input = image([1, 2, 2, 1], &[1.0, 2.0, 2.0, 2.0]);
        let kept = input.share();
        let y = max_pool(input, ConvGeometry::square(2, 1, 0)).unwrap();
        let mut gradients = backward_weighted(y, &[3.0]);
        assert_eq!(kept.gradient(&mut gradients).unwrap().unwrap(), [0.0, 3.0, 0.0, 0.0]);
    });
}

#[test]
fn padding_is_never_the_largest() {
    let y = max_pool(image([1, 1, 1, 1], &[-5.0]), ConvGeometry::square(3, 1, 1)).unwrap();
    assert_eq!(y.to_nhwc(), [-5.0]);
}

#[test]
fn the_global_pool_is_the_mean_over_positions() {
    in_each_family(|| {
        for shape in SHAPES {
            let [n, h, w, c] = shape;
            let (x, weights) = (noise(1, n * h * w * c), noise(2, n * c));
            let whole = ConvGeometry { kernel: (h, w), stride: (1, 1), padding: (0, 0) };
            let mean = |values: &[f64]| values.iter().sum::<f64>() / (h * w) as f64;
            let input = image(shape, &x);
            let kept = input.share();
            let y = global_average_pool(input).unwrap();
            assert_close("output", &crate::to_rows(&y), &oracle(&wide(&x), shape, whole, mean), 1e-6);
            let mut gradients = backward_weighted_rows(y, &weights);
            let by_x = differences(|x| weighted(&oracle(x, shape, whole, mean), &weights), &wide(&x));
            assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-6);
        }
    });
}

#[test]
fn windows_that_do_not_fit_are_errors() {
    let x = || image([1, 4, 4, 1], &noise(1, 16));
    assert!(matches!(max_pool(x(), ConvGeometry::square(5, 1, 0)), Err(OpError::Value { .. })));
    assert!(matches!(max_pool(x(), ConvGeometry::square(2, 1, 2)), Err(OpError::Value { .. })));
    assert!(matches!(average_pool(x(), ConvGeometry::square(2, 0, 0)), Err(OpError::Value { .. })));
    assert!(matches!(max_pool(x(), ConvGeometry::square(17, 1, 8)), Err(OpError::Value { .. })));
    // Twice the first padding is 0 in 64 bits, and so are the pixels of the second window.
    for pool in [max_pool as fn(_, _) -> _, average_pool] {
        let result: Result<FeatureMap, OpError> = pool(x(), ConvGeometry::square(2, 1, 1 << 63));
        let error = result.map(drop).unwrap_err().to_string();
        assert!(error.contains("padding is (9223372036854775808, 9223372036854775808)"), "{error}");
    }
    let error = max_pool(x(), ConvGeometry::square(1 << 32, 1, 1 << 31)).map(drop).unwrap_err().to_string();
    assert_eq!(
        error,
        "max_pool: the window is (4294967296, 4294967296), but it must have at most 256 pixels"
    );
}
