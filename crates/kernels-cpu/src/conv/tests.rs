use super::{ConvAlgorithm, Convolution};
use crate::{
    ConvGeometry, Layout, Precision,
    simd::Family,
    testing::{assert_close, families, noise, wide},
    values::Values,
};

/// Images, side, channels in and out, and how the window moves: full and ragged blocks of images and panels of channels,
/// even and odd channels, windows that reach over the edge and windows that leave pixels out.
const CASES: [([usize; 5], ConvGeometry); 12] = [
    ([2, 5, 6, 3, 5], square(3, 1, 1)),
    ([17, 4, 4, 6, 33], square(3, 1, 1)),
    ([3, 7, 7, 16, 32], square(3, 2, 1)),
    ([5, 8, 9, 18, 40], square(3, 2, 1)),
    ([2, 9, 8, 3, 17], square(7, 2, 3)),
    ([16, 10, 10, 3, 32], square(7, 2, 3)),
    ([3, 8, 8, 3, 24], square(4, 4, 0)),
    ([2, 5, 5, 64, 70], square(1, 1, 0)),
    ([18, 3, 5, 34, 16], square(1, 1, 0)),
    ([3, 6, 5, 34, 48], square(1, 2, 0)),
    ([1, 6, 7, 1, 1], ConvGeometry { kernel: (2, 3), stride: (3, 1), padding: (1, 2) }),
    ([2, 6, 7, 2, 9], ConvGeometry { kernel: (5, 3), stride: (2, 1), padding: (4, 2) }),
];

const fn square(kernel: usize, stride: usize, padding: usize) -> ConvGeometry {
    ConvGeometry { kernel: (kernel, kernel), stride: (stride, stride), padding: (padding, padding) }
}

/// The same in groups, with how many there are: narrow ones and wide ones, as many as channels, several outputs a channel, and
/// numbers of channels that fill neither a register nor a tile.
const GROUPED_CASES: [([usize; 5], ConvGeometry, usize); 16] = [
    ([2, 5, 6, 128, 128], square(3, 1, 1), 32),
    ([17, 9, 8, 64, 64], square(3, 2, 1), 8),
    ([3, 7, 7, 64, 64], square(3, 1, 1), 4),
    ([16, 4, 4, 40, 40], square(3, 1, 1), 5),
    ([3, 8, 9, 70, 70], square(3, 2, 1), 2),
    ([5, 6, 5, 37, 37], square(3, 1, 1), 37),
    ([17, 7, 8, 18, 18], square(3, 2, 1), 18),
    ([2, 9, 8, 6, 24], square(7, 1, 3), 6),
    ([3, 8, 8, 12, 12], square(4, 4, 0), 3),
    ([2, 5, 5, 64, 32], square(1, 1, 0), 16),
    ([18, 3, 5, 32, 16], square(1, 2, 0), 4),
    ([16, 23, 21, 8, 16], square(3, 2, 1), 2),
    ([3, 6, 5, 9, 15], square(1, 3, 2), 3),
    ([1, 6, 7, 2, 2], ConvGeometry { kernel: (2, 3), stride: (3, 1), padding: (1, 2) }, 2),
    ([2, 6, 7, 6, 21], ConvGeometry { kernel: (5, 3), stride: (2, 1), padding: (4, 2) }, 3),
    ([2, 5, 9, 10, 20], ConvGeometry { kernel: (3, 2), stride: (1, 3), padding: (0, 1) }, 5),
];

/// A convolution and what it is given, `(N, H, W, C)` and `(KH, KW, I / groups, O)`.
struct Case {
    groups: usize,
    from: Layout,
    to: Layout,
    geometry: ConvGeometry,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    gradient: Vec<f32>,
    /// What the gradient of the input is added to.
    before: Vec<f32>,
}

/// `(N, H, W, C)` and `(KH, KW, I, O)`, in double precision.
struct Expected {
    y: Vec<f64>,
    x: Vec<f64>,
    weight: Vec<f64>,
}

impl Case {
    /// Of values that bfloat16 has: products of them are exact, however they are kept.
    fn new(shape: [usize; 5], geometry: ConvGeometry) -> Self {
        Self::in_groups(shape, geometry, 1)
    }

    /// The same in groups.
    fn in_groups([n, h, w, n_in, n_out]: [usize; 5], geometry: ConvGeometry, groups: usize) -> Self {
        let (out_h, out_w) = geometry.output(h, w).unwrap();
        let (from, to) = (Layout { n, h, w, c: n_in }, Layout { n, h: out_h, w: out_w, c: n_out });
        let (kernel_h, kernel_w) = geometry.kernel;
        let values = |seed, len| Values::new(noise(seed, len), Precision::Bf16).into_whole();
        Self {
            groups,
            from,
            to,
            geometry,
            x: values(1, from.len()),
            weight: values(2, kernel_h * kernel_w * n_in / groups * n_out),
            bias: noise(3, n_out),
            gradient: values(4, to.len()),
            before: values(5, from.len()),
        }
    }

    /// The definition, a multiplication at a time.
    fn expected(&self) -> Expected {
        let (Self { from, to, .. }, ConvGeometry { kernel, stride, padding }) = (self, self.geometry);
        let (x, weight, gradient) = (wide(&self.x), wide(&self.weight), wide(&self.gradient));
        let mut expected =
            Expected { y: vec![0.0; to.len()], x: wide(&self.before), weight: vec![0.0; weight.len()] };
        for pixel in 0..to.n_rows() {
            let (image, out_y, out_x) = (pixel / (to.h * to.w), pixel / to.w % to.h, pixel % to.w);
            for tap in 0..kernel.0 * kernel.1 {
                let at = |out: usize, stride: usize, tap: usize, padding: usize, size: usize| {
                    (out * stride + tap).checked_sub(padding).filter(|&at| at < size)
                };
                let in_y = at(out_y, stride.0, tap / kernel.1, padding.0, from.h);
                let in_x = at(out_x, stride.1, tap % kernel.1, padding.1, from.w);
                let (Some(in_y), Some(in_x)) = (in_y, in_x) else { continue };
                let (n_in, n_out) = (from.c / self.groups, to.c / self.groups);
                for i in 0..from.c {
                    let read = ((image * from.h + in_y) * from.w + in_x) * from.c + i;
                    for o in i / n_in * n_out..(i / n_in + 1) * n_out {
                        let (out, w) = (pixel * to.c + o, (tap * n_in + i % n_in) * to.c + o);
                        expected.y[out] += x[read] * weight[w];
                        expected.x[read] += gradient[out] * weight[w];
                        expected.weight[w] += gradient[out] * x[read];
                    }
                }
            }
        }
        expected
    }

    fn conv(&self, family: Family, algorithm: ConvAlgorithm, precision: Precision) -> Convolution {
        Convolution::new(family, algorithm, precision, self.geometry, self.from, self.to)
            .in_groups(self.groups)
    }

    fn check(&self, family: Family, algorithm: ConvAlgorithm, precision: Precision) {
        let Self { from, to, geometry, .. } = self;
        let what = format!(
            "{family:?}, {algorithm:?}, {precision:?}: {from:?} to {} by {geometry:?} in {} groups",
            to.c, self.groups
        );
        let expected = self.expected();
        let conv = self.conv(family, algorithm, precision);
        let laid = |layout: Layout, values: &[f32]| Values::new(layout.pack(values), precision);
        let (x, gradient) = (laid(*from, &self.x), laid(*to, &self.gradient));
        // Winograd's transforms subtract large numbers from each other, or round what they multiply; it knows no groups.
        let is_exact = algorithm == ConvAlgorithm::Direct || self.groups > 1;
        let (sums, kept) = match (precision, is_exact) {
            (Precision::F32, true) => (5e-6, 5e-6),
            (Precision::F32, false) => (1e-4, 1e-4),
            (Precision::Bf16, true) => (5e-6, 4e-3),
            (Precision::Bf16, false) => (2e-2, 2e-2),
        };
        let nhwc = |layout: Layout, values: Values| layout.unpack(&values.into_whole());

        let plain = conv.forward(&self.weight, &x, None, true);
        assert!(plain.sums.is_some(), "{what}: sums were asked for");
        assert_close(&format!("{what}: output"), &nhwc(*to, plain.values), &expected.y, kept);
        let with_bias: Vec<f64> =
            expected.y.iter().enumerate().map(|(i, y)| y + f64::from(self.bias[i % to.c])).collect();
        for is_summed in [false, true] {
            let y = conv.forward(&self.weight, &x, Some(&self.bias), is_summed);
            assert_close(&format!("{what}: with a bias"), &nhwc(*to, y.values), &with_bias, 2.0 * kept);
        }

        let got = conv.data_gradient(&self.weight, &gradient, Some(laid(*from, &self.before)));
        assert_close(&format!("{what}: gradient of the input"), &nhwc(*from, got), &expected.x, kept);
        let got = conv.data_gradient(&self.weight, &gradient, None);
        let alone: Vec<f64> =
            expected.x.iter().zip(&self.before).map(|(x, &before)| x - f64::from(before)).collect();
        assert_close(&format!("{what}: gradient of the input, alone"), &nhwc(*from, got), &alone, kept);
        let got = conv.weight_gradient(&x, &gradient);
        assert_close(&format!("{what}: gradient of the weight"), &got, &expected.weight, sums);
    }
}

#[test]
fn direct_convolutions_agree_with_their_definition() {
    for (shape, geometry) in CASES {
        let case = Case::new(shape, geometry);
        for family in families() {
            for precision in [Precision::F32, Precision::Bf16] {
                case.check(family, ConvAlgorithm::Direct, precision);
            }
        }
    }
}

#[test]
fn convolutions_in_groups_agree_with_their_definition_whatever_the_algorithm() {
    for (i, (shape, geometry, groups)) in GROUPED_CASES.into_iter().enumerate() {
        let case = Case::in_groups(shape, geometry, groups);
        let algorithm = [ConvAlgorithm::Direct, ConvAlgorithm::Auto, ConvAlgorithm::Winograd][i % 3];
        for family in families() {
            for precision in [Precision::F32, Precision::Bf16] {
                case.check(family, algorithm, precision);
            }
        }
    }
}

/// The same products in the same order: planes and lanes change nothing.
#[test]
fn one_group_among_others_has_the_bits_that_it_has_elsewhere() {
    let (all, some) = (Case::in_groups([18, 6, 7, 64, 64], square(3, 2, 1), 8), 3 * 8..5 * 8);
    let pick = |values: &[f32]| -> Vec<f32> {
        values.chunks_exact(64).flat_map(|row| row[some.clone()].to_vec()).collect()
    };
    let of_some = Case {
        groups: 2,
        from: Layout { c: 16, ..all.from },
        to: Layout { c: 16, ..all.to },
        geometry: all.geometry,
        x: pick(&all.x),
        weight: pick(&all.weight),
        bias: all.bias[some.clone()].to_vec(),
        gradient: pick(&all.gradient),
        before: pick(&all.before),
    };
    let run = |case: &Case, family: Family, precision: Precision| {
        let laid = |layout: Layout, values: &[f32]| Values::new(layout.pack(values), precision);
        let (x, gradient) = (laid(case.from, &case.x), laid(case.to, &case.gradient));
        let conv = case.conv(family, ConvAlgorithm::Direct, precision);
        let y = conv.forward(&case.weight, &x, Some(&case.bias), false).values.into_whole();
        let of_x = conv.data_gradient(&case.weight, &gradient, Some(laid(case.from, &case.before)));
        [case.to.unpack(&y), case.from.unpack(&of_x.into_whole()), conv.weight_gradient(&x, &gradient)]
    };
    for family in families() {
        for precision in [Precision::F32, Precision::Bf16] {
            let whole = run(&all, family, precision).map(|values| pick(&values));
            assert!(whole == run(&of_some, family, precision), "{family:?}, {precision:?}");
        }
    }
}

#[test]
fn winograd_agrees_with_the_definition() {
    for shape in [[2, 5, 6, 3, 5], [17, 6, 5, 16, 32], [3, 9, 8, 48, 80]] {
        let case = Case::new(shape, square(3, 1, 1));
        for family in families() {
            for precision in [Precision::F32, Precision::Bf16] {
                case.check(family, ConvAlgorithm::Winograd, precision);
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |case: &Case, family: Family, precision: Precision, n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let laid = |layout: Layout, values: &[f32]| Values::new(layout.pack(values), precision);
            let (x, gradient) = (laid(case.from, &case.x), laid(case.to, &case.gradient));
            let conv = case.conv(family, ConvAlgorithm::Auto, precision);
            let y = conv.forward(&case.weight, &x, Some(&case.bias), false).values.into_whole();
            let of_x = conv.data_gradient(&case.weight, &gradient, None).into_whole();
            let of_weight = conv.weight_gradient(&x, &gradient);
            [y, of_x, of_weight].concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    for (shape, geometry, groups) in [
        ([48, 12, 12, 34, 70], square(3, 2, 1), 1),
        ([48, 12, 12, 34, 70], square(1, 1, 0), 1),
        ([40, 20, 20, 3, 40], square(7, 2, 3), 1),
        ([48, 16, 16, 64, 64], square(3, 1, 1), 16),
        ([40, 15, 15, 48, 48], square(3, 2, 1), 48),
    ] {
        let case = Case::in_groups(shape, geometry, groups);
        let settings = families().into_iter().flat_map(|f| [(f, Precision::F32), (f, Precision::Bf16)]);
        for (family, precision) in settings {
            let alone = run(&case, family, precision, 1);
            for n_threads in [2, 64] {
                let same = alone == run(&case, family, precision, n_threads);
                assert!(same, "{shape:?} {family:?} {precision:?}");
            }
        }
    }
}
