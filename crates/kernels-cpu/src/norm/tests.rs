//! Batch normalization, against its definition in double precision.

use rayon::ThreadPoolBuilder;

use super::{
    Affine, Backward, ChannelSums, Coefficients, Gradient, GradientSums, Groups, Statistics, Tail, Wanted,
    apply,
};
use crate::{
    Family, IMAGES_IN_BLOCK, Layout, Precision, Values,
    testing::{assert_close, differences, families, noise, weighted, wide},
};

const EPS: f64 = 1e-5;
const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// A norm of some values, as a test sets it up.
#[derive(Clone, Copy, Debug)]
struct Case {
    groups: Groups,
    tail: Tail,
    has_residual: bool,
    precision: Precision,
}

/// Everything a case has to do with, in single precision but rounded to that of the case.
struct Data {
    x: Vec<f32>,
    residual: Vec<f32>,
    /// The gradient of the output.
    weights: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Case {
    fn data(self) -> Data {
        let (len, c) = (self.groups.layout.len(), self.groups.layout.c);
        let rounded = |seed| self.values(noise(seed, len)).into_whole();
        Data {
            x: rounded(1),
            residual: rounded(5),
            weights: rounded(2),
            scale: noise(3, c),
            shift: noise(4, c),
        }
    }

    fn values(self, values: Vec<f32>) -> Values {
        Values::new(values, self.precision)
    }

    /// How far a result may be off that is rounded at its end.
    fn tolerance(self) -> f64 {
        if self.precision == Precision::F32 { 2e-5 } else { 4e-3 }
    }
}

/// The group and the channel of each place.
fn owners(groups: Groups) -> Vec<usize> {
    let Layout { n, c, .. } = groups.layout;
    let owner = |block: usize, at: usize| {
        let n_in_block = groups.layout.n_in_block(block);
        let image = block * IMAGES_IN_BLOCK + at / c % n_in_block;
        image % groups.splits * c + at % c
    };
    (0..n.div_ceil(IMAGES_IN_BLOCK))
        .flat_map(|block| (0..groups.layout.block_len(block)).map(move |at| owner(block, at)))
        .collect()
}

/// `tail(normalized * scale + shift + residual)`, with means and variances that are given or those of `x`.
fn oracle(
    case: Case,
    x: &[f64],
    residual: &[f64],
    scale: &[f64],
    shift: &[f64],
    fixed: Option<&Statistics>,
) -> Vec<f64> {
    let (owners, c) = (owners(case.groups), case.groups.layout.c);
    let (mean, var) =
        fixed.map_or_else(|| moments(&owners, x), |fixed| (fixed.mean.clone(), fixed.var.clone()));
    let place = |(at, &owner): (usize, &usize)| {
        let normalized = (x[at] - mean[owner]) / (var[owner] + EPS).sqrt();
        let y = normalized * scale[owner % c] + shift[owner % c];
        let y = if case.has_residual { y + residual[at] } else { y };
        if case.tail == Tail::Relu { y.max(0.0) } else { y }
    };
    owners.iter().enumerate().map(place).collect()
}

fn moments(owners: &[usize], x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let n_owners = owners.iter().max().unwrap() + 1;
    let n = (owners.len() / n_owners) as f64;
    let (mut mean, mut var) = (vec![0.0; n_owners], vec![0.0; n_owners]);
    owners.iter().zip(x).for_each(|(&owner, x)| mean[owner] += x / n);
    owners.iter().zip(x).for_each(|(&owner, x)| var[owner] += (x - mean[owner]).powi(2) / n);
    (mean, var)
}

fn forward(family: Family, case: Case, data: &Data) -> (Statistics, Coefficients, Values) {
    let x = case.values(data.x.clone());
    let statistics = Statistics::of(family, &x, case.groups);
    let affine = Affine { scale: Some(&data.scale), shift: Some(&data.shift), eps: EPS };
    let coefficients = Coefficients::new(&statistics, affine);
    let residual = case.has_residual.then(|| case.values(data.residual.clone()));
    let y = apply(family, case.groups, &coefficients, &x, residual.as_ref(), case.tail);
    (statistics, coefficients, y)
}

fn backward(family: Family, case: Case, data: &Data, wants_x: bool) -> Gradient {
    let (statistics, coefficients, y) = forward(family, case, data);
    let backward = Backward {
        family,
        groups: case.groups,
        x: &case.values(data.x.clone()),
        tail: case.tail,
        output: (case.has_residual && case.tail == Tail::Relu).then_some(&y),
        statistics: &statistics,
        coefficients: &coefficients,
    };
    backward.run(case.values(data.weights.clone()), Wanted { x: wants_x, masked: case.has_residual })
}

fn cases(layouts: &[(Layout, usize)]) -> Vec<Case> {
    let mut cases = Vec::new();
    for &(layout, splits) in layouts {
        for (tail, has_residual) in
            [(Tail::Plain, false), (Tail::Relu, false), (Tail::Relu, true), (Tail::Plain, true)]
        {
            for precision in PRECISIONS {
                cases.push(Case { groups: Groups { layout, splits }, tail, has_residual, precision });
            }
        }
    }
    cases
}

/// Small enough for differences.
const SMALL: [(Layout, usize); 4] = [
    (Layout { n: 5, h: 3, w: 2, c: 3 }, 1),
    (Layout { n: 6, h: 2, w: 3, c: 5 }, 2),
    (Layout { n: 18, h: 2, w: 1, c: 3 }, 3),
    (Layout { n: 2, h: 2, w: 5, c: 19 }, 1),
];

/// Of several parts, and with channels that are no whole number of registers.
const LARGE: [(Layout, usize); 4] = [
    (Layout { n: 33, h: 7, w: 9, c: 24 }, 3),
    (Layout { n: 17, h: 12, w: 11, c: 20 }, 1),
    (Layout { n: 6, h: 3, w: 5, c: 1030 }, 1),
    (Layout { n: 20, h: 8, w: 8, c: 64 }, 1),
];

#[test]
fn values_and_gradients_agree_with_the_definition_and_with_differences() {
    for case in cases(&SMALL) {
        let data = case.data();
        let [x, residual, scale, shift] =
            [&data.x, &data.residual, &data.scale, &data.shift].map(|of| wide(of));
        let loss = |x: &[f64], residual: &[f64], scale: &[f64], shift: &[f64]| {
            weighted(&oracle(case, x, residual, scale, shift, None), &data.weights)
        };
        let by_x = differences(|x| loss(x, &residual, &scale, &shift), &x);
        let by_residual = differences(|residual| loss(&x, residual, &scale, &shift), &residual);
        let by_scale = differences(|scale| loss(&x, &residual, scale, &shift), &scale);
        let by_shift = differences(|shift| loss(&x, &residual, &scale, shift), &shift);
        let expected = oracle(case, &x, &residual, &scale, &shift, None);
        for family in families() {
            let what = format!("{family:?} {case:?}");
            assert_close(&what, &forward(family, case, &data).2.whole(), &expected, case.tolerance());
            let got = backward(family, case, &data, true);
            // The masked gradient is rounded before it is spread where it is kept.
            assert_close(&what, &got.x.unwrap().whole(), &by_x, 10.0 * case.tolerance());
            assert_close(&what, &got.scale, &by_scale, 1e-4);
            assert_close(&what, &got.shift, &by_shift, 1e-4);
            assert_eq!(got.masked.is_some(), case.has_residual);
            if let Some(masked) = got.masked {
                assert_close(&what, &masked.whole(), &by_residual, case.tolerance());
            }
        }
    }
}

/// In double precision, by the definition: what [`Gradient`] has, but for the masked gradient.
fn oracle_gradient(case: Case, data: &Data, y: &[f32]) -> [Vec<f64>; 3] {
    let (owners, c) = (owners(case.groups), case.groups.layout.c);
    let x = wide(&data.x);
    let (mean, var) = moments(&owners, &x);
    let normalized = |at: usize| (x[at] - mean[owners[at]]) / (var[owners[at]] + EPS).sqrt();
    let on = |at: usize| case.tail == Tail::Plain || y[at] > 0.0;
    let masked = |at: usize| if on(at) { f64::from(data.weights[at]) } else { 0.0 };
    let (mut plain, mut with_normalized) = (vec![0.0; mean.len()], vec![0.0; mean.len()]);
    for (at, &owner) in owners.iter().enumerate() {
        plain[owner] += masked(at);
        with_normalized[owner] += masked(at) * normalized(at);
    }
    let n = (owners.len() / mean.len()) as f64;
    let by_x = |(at, &owner): (usize, &usize)| {
        let moved = (plain[owner] + normalized(at) * with_normalized[owner]) / n;
        f64::from(data.scale[owner % c]) / (var[owner] + EPS).sqrt() * (masked(at) - moved)
    };
    let by_x = owners.iter().enumerate().map(by_x).collect();
    let over_groups = |sums: &[f64]| (0..c).map(|at| sums.iter().skip(at).step_by(c).sum()).collect();
    [by_x, over_groups(&with_normalized), over_groups(&plain)]
}

#[test]
fn gradients_of_many_parts_agree_with_the_definition() {
    for case in cases(&LARGE) {
        let data = case.data();
        for family in families() {
            let y = forward(family, case, &data).2.into_whole();
            let [by_x, by_scale, by_shift] = oracle_gradient(case, &data, &y);
            let got = backward(family, case, &data, true);
            let what = format!("{family:?} {case:?}");
            assert_close(&what, &got.x.unwrap().whole(), &by_x, case.tolerance());
            assert_close(&what, &got.scale, &by_scale, 1e-5);
            assert_close(&what, &got.shift, &by_shift, 1e-5);
            if let Some(masked) = got.masked {
                let on = |(&weight, &y): (&f32, &f32)| {
                    if case.tail == Tail::Plain || y > 0.0 { weight } else { 0.0 }
                };
                let expected: Vec<f32> = data.weights.iter().zip(&y).map(on).collect();
                assert_eq!(*masked.whole(), expected, "{what}");
            }
            let without = backward(family, case, &data, false);
            assert!(without.x.is_none());
            assert_eq!((without.scale, without.shift), (got.scale, got.shift), "{what}");
        }
    }
}

#[test]
fn running_statistics_do_not_move_with_the_batch() {
    let case = Case {
        groups: Groups { layout: SMALL[0].0, splits: 1 },
        tail: Tail::Relu,
        has_residual: false,
        precision: Precision::F32,
    };
    let data = case.data();
    let running = Statistics::running(&[0.1, -0.2, 0.3], &[0.5, 1.5, 2.5]);
    let affine = Affine { scale: Some(&data.scale), shift: Some(&data.shift), eps: EPS };
    let coefficients = Coefficients::new(&running, affine);
    let x = Values::F32(data.x.clone());
    let [scale, shift] = [&data.scale, &data.shift].map(|of| wide(of));
    let oracle = |x: &[f64]| oracle(case, x, &[], &scale, &shift, Some(&running));
    let by_x = differences(|x| weighted(&oracle(x), &data.weights), &wide(&data.x));
    for family in families() {
        let y = apply(family, case.groups, &coefficients, &x, None, case.tail);
        assert_close("output", &y.whole(), &oracle(&wide(&data.x)), 1e-6);
        let backward = Backward {
            family,
            groups: case.groups,
            x: &x,
            tail: case.tail,
            output: None,
            statistics: &running,
            coefficients: &coefficients,
        };
        let got = backward.run(Values::F32(data.weights.clone()), Wanted { x: true, masked: false });
        assert_close("input", &got.x.unwrap().whole(), &by_x, 1e-5);
    }
}

#[test]
fn statistics_are_those_of_double_precision() {
    for (layout, splits) in SMALL.into_iter().chain(LARGE) {
        let groups = Groups { layout, splits };
        for (precision, offset) in [(Precision::F32, 1000.0), (Precision::F32, 0.0), (Precision::Bf16, 0.0)] {
            // A mean far from zero does not cost the variance its digits.
            let x: Vec<f32> = noise(1, layout.len()).iter().map(|value| offset + value).collect();
            let x = Values::new(x, precision);
            let (mean, var) = moments(&owners(groups), &wide(&x.whole()));
            for family in families() {
                let got = Statistics::of(family, &x, groups);
                for (got, expected) in got.mean.iter().chain(&got.var).zip(mean.iter().chain(&var)) {
                    let error = (got - expected).abs();
                    assert!(error < 2e-6, "{family:?} {precision:?} {groups:?}: {got} is not {expected}");
                }
            }
        }
    }
}

#[test]
fn statistics_of_parts_are_those_of_the_whole() {
    let layout = Layout { n: 40, h: 3, w: 1, c: 21 };
    let (groups, x) = (Groups { layout, splits: 1 }, noise(1, layout.len()));
    let (mean, var) = moments(&owners(groups), &wide(&x));
    for family in families() {
        let parts: Vec<ChannelSums> =
            x.chunks(17 * layout.c).map(|part| ChannelSums::of(family, part, layout.c)).collect();
        let got = Statistics::of_sums(&parts, groups);
        for (got, expected) in got.mean.iter().chain(&got.var).zip(mean.iter().chain(&var)) {
            assert!((got - expected).abs() < 1e-6, "{family:?}: {got} is not {expected}");
        }
    }
}

/// Shares of a batch, in processes of their own, have the statistics and gradients of the batch once they know the sums of all.
#[test]
fn shares_of_a_batch_are_normalized_as_the_batch() {
    let layout = Layout { n: 9, h: 5, w: 4, c: 21 };
    for case in cases(&[(layout, 1)]) {
        let data = case.data();
        // Images 0 to 1, none, and 2 to 8.
        let shares = [0..2, 2..2, 2..9].map(|images| {
            let share = Layout { n: images.len(), ..layout };
            let order: Vec<usize> = images.collect();
            let of = |values: &[f32]| share.gather_images(layout, values, &order);
            let (x, residual, weights) = (of(&data.x), of(&data.residual), of(&data.weights));
            let groups = Groups { layout: share, splits: 1 };
            let data = Data { x, residual, weights, scale: data.scale.clone(), shift: data.shift.clone() };
            (order, Case { groups, ..case }, data)
        });
        for family in families() {
            let what = format!("{family:?} {case:?}");
            let (_, _, y) = forward(family, case, &data);
            let whole = backward(family, case, &data, true);
            let own = shares.each_ref().map(|(_, case, data)| {
                let values = case.values(data.x.clone());
                match values.len() {
                    0 => Statistics { mean: Vec::new(), var: Vec::new(), n_values: None },
                    _ => Statistics::of(family, &values, case.groups),
                }
            });
            let statistics = Statistics::union(&own);
            assert_eq!(statistics.n_values, Some(180.0));
            let affine = Affine { scale: Some(&data.scale), shift: Some(&data.shift), eps: EPS };
            let coefficients = Coefficients::new(&statistics, affine);
            let [first, _, last] = &shares;
            let outputs = [first, last].map(|(order, share, own)| {
                let residual = case.has_residual.then(|| case.values(own.residual.clone()));
                let x = case.values(own.x.clone());
                let got = apply(family, share.groups, &coefficients, &x, residual.as_ref(), case.tail);
                let expected = share.groups.layout.gather_images(layout, &y.whole(), order);
                assert_close(&what, &got.whole(), &wide(&expected), case.tolerance());
                got
            });
            let gradient = |(i, of_all): (usize, Option<&GradientSums>)| {
                let (_, share, own) = [first, last][i];
                let (groups, x) = (share.groups, &case.values(own.x.clone()));
                let output = (case.has_residual && case.tail == Tail::Relu).then_some(&outputs[i]);
                let (statistics, coefficients) = (&statistics, &coefficients);
                let backward =
                    Backward { family, groups, x, tail: case.tail, output, statistics, coefficients };
                let wanted = Wanted { x: true, masked: case.has_residual };
                backward.run_among(case.values(own.weights.clone()), wanted, |own| of_all.cloned().ok_or(own))
            };
            let [mut sums, of_last] = [0, 1].map(|i| gradient((i, None)).unwrap_err());
            let add = |sum: &mut [f64], other: &[f64]| sum.iter_mut().zip(other).for_each(|(a, b)| *a += b);
            add(&mut sums.plain, &of_last.plain);
            add(&mut sums.with_distance, &of_last.with_distance);
            let got = [0, 1].map(|i| gradient((i, Some(&sums))).unwrap());
            for ((order, share, _), got) in [first, last].into_iter().zip(&got) {
                let expected = whole.x.as_ref().unwrap().whole();
                let expected = share.groups.layout.gather_images(layout, &expected, order);
                assert_close(&what, &got.x.as_ref().unwrap().whole(), &wide(&expected), case.tolerance());
            }
            let sum = |of: [&Vec<f32>; 2]| of[0].iter().zip(of[1]).map(|(a, b)| a + b).collect::<Vec<_>>();
            assert_close(&what, &sum([&got[0].scale, &got[1].scale]), &wide(&whole.scale), 1e-5);
            assert_close(&what, &sum([&got[0].shift, &got[1].shift]), &wide(&whole.shift), 1e-5);
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for case in cases(&LARGE) {
        let data = case.data();
        for family in families() {
            let run = |n_threads: usize| {
                ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap().install(|| {
                    let y = forward(family, case, &data).2.into_whole();
                    let got = backward(family, case, &data, true);
                    let maps = [got.x, got.masked].map(|of| of.map_or_else(Vec::new, Values::into_whole));
                    let all = [&y, &got.scale, &got.shift, &maps[0], &maps[1]].map(|of| &of[..]).concat();
                    all.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                })
            };
            let one = run(1);
            assert!(one == run(2) && one == run(64), "{family:?} {case:?}");
        }
    }
}
