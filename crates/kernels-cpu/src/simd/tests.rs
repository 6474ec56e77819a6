use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    Family, Filled, Filling, Kernel, Lanes, exp, for_registers, gelu, read_some, transpose, write_some,
};
use crate::{
    memory::build_filled,
    testing::{families, noise},
};

/// What is neither large nor small enough to be a number like others.
mod special;

struct Exp<'a>(&'a mut [f32]);

impl Kernel for Exp<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for_registers!(L, self.0.len(), |at, n| {
            let value = exp::<L>(read_some::<L, _>(self.0, at, n, 0.0));
            write_some::<L, _>(self.0, at, n, value);
        });
    }
}

struct Gelu<'a>(&'a mut [f32], &'a mut [f32]);

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for_registers!(L, self.0.len(), |at, n| {
            let (value, slope) = gelu::<L>(read_some::<L, _>(self.0, at, n, 0.0));
            write_some::<L, _>(self.0, at, n, value);
            write_some::<L, _>(self.1, at, n, slope);
        });
    }
}

struct Transpose<'a>(&'a [f32], usize, usize, &'a mut [f32]);

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        transpose::<L>(self.0, self.2 + 3, (self.1, self.2), self.3, self.1 + 2);
    }
}

#[test]
fn the_exponential_is_right_to_two_units_in_the_last_place() {
    let x: Vec<f32> = (-8690..=8800).map(|i| i as f32 * 0.01).collect();
    for family in families() {
        let mut y = x.clone();
        family.run(Exp(&mut y));
        for (&x, &y) in x.iter().zip(&y) {
            let expected = f64::from(x).exp();
            assert!(
                (f64::from(y) / expected - 1.0).abs() < 2.4e-7,
                "{family:?}: e^{x} is {y}, not {expected}"
            );
        }
        let mut far = [-88.0, -1e4, f32::MIN, f32::NEG_INFINITY];
        family.run(Exp(&mut far));
        assert!(far.iter().all(|&y| (0.0..2e-38).contains(&y)), "{family:?}: {far:?}");
    }
}

/// `Φ`, by the series of erf, in double precision.
fn normal(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while f64::abs(term) > 1e-18 * f64::abs(sum) {
        n += 1.0;
        term *= x * x / (2.0 * n + 1.0);
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

#[test]
fn gelu_agrees_with_its_definition_over_its_range() {
    let x: Vec<f32> = (-1400..=1400).map(|i| i as f32 * 0.01).collect();
    for family in families() {
        let (mut values, mut slopes) = (x.clone(), vec![0.0; x.len()]);
        family.run(Gelu(&mut values, &mut slopes));
        for ((&x, &y), &slope) in x.iter().zip(&values).zip(&slopes) {
            let wide = f64::from(x);
            let phi = normal(wide);
            // The square in the exponent is rounded. The oracle itself loses digits far below 0.
            let tolerance = (5e-7 + 4e-8 * wide * wide) * (wide * phi).abs() + 1e-13;
            let expected = wide * phi;
            assert!(
                (f64::from(y) - expected).abs() <= tolerance,
                "{family:?}: gelu({x}) is {y}, not {expected}"
            );
            let expected = phi + wide * (-0.5 * wide * wide).exp() / std::f64::consts::TAU.sqrt();
            assert!(
                (f64::from(slope) - expected).abs() <= 4e-7,
                "{family:?}: slope at {x}: {slope}, {expected}"
            );
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so() {
    for family in families() {
        let (mut values, mut slopes) = ([f32::NAN; 3], [0.0; 3]);
        family.run(Gelu(&mut values, &mut slopes));
        assert!(values.iter().all(|value| value.is_nan()), "{family:?}: {values:?}");
        let mut powers = [f32::NAN; 3];
        family.run(Exp(&mut powers));
        assert!(powers.iter().all(|power| power.is_nan()), "{family:?}: {powers:?}");
    }
}

#[test]
fn blocks_of_all_sizes_are_transposed() {
    for family in families() {
        for (n_rows, n_columns) in [(1, 1), (8, 8), (16, 24), (7, 9), (19, 33), (0, 4)] {
            let from = noise(1, (n_rows + 1) * (n_columns + 3));
            let mut to = vec![0.0; (n_columns + 1) * (n_rows + 2)];
            family.run(Transpose(&from, n_rows, n_columns, &mut to));
            for (i, &value) in to.iter().enumerate() {
                let (column, row) = (i / (n_rows + 2), i % (n_rows + 2));
                let is_inside = row < n_rows && column < n_columns;
                let expected = if is_inside { from[row * (n_columns + 3) + column] } else { 0.0 };
                assert_eq!(value, expected, "{family:?} {n_rows}x{n_columns}: row {row}, column {column}");
            }
        }
    }
}

/// The values where the tests are above 0.
struct WherePositive<'id, 'a> {
    tests: &'a [f32],
    values: &'a [f32],
    out: Filling<'id, 'a, f32>,
}

impl<'id> Kernel for WherePositive<'id, '_> {
    type Output = Filled<'id>;

    #[inline(always)]
    fn run<L: Lanes>(mut self) -> Filled<'id> {
        for_registers!(L, self.tests.len(), |at, n| {
            let test = read_some::<L, _>(self.tests, at, n, 0.0);
            let value = read_some::<L, _>(self.values, at, n, 0.0);
            self.out.push::<L>(L::where_positive(test, value), n);
        });
        self.out.end()
    }
}

#[test]
fn zeros_of_both_signs_are_not_positive() {
    let tests = [0.0, -0.0, 1e-30, -1e-30, 2.0, f32::NEG_INFINITY, f32::INFINITY].repeat(5);
    let values = [3.0; 35];
    let expected = [0.0, 0.0, 3.0, 0.0, 3.0, 0.0, 3.0].repeat(5);
    for family in families() {
        let got =
            build_filled(&[35], |_, out| family.run(WherePositive { tests: &tests, values: &values, out }));
        assert_eq!(got, expected, "{family:?}");
    }
}

#[test]
#[should_panic(expected = "1 places of a part hold nothing")]
fn a_buffer_that_is_not_filled_is_a_bug() {
    let (tests, values) = ([1.0; 20], [3.0; 20]);
    build_filled::<f32>(&[20, 21], |_, out| {
        Family::detected().run(WherePositive { tests: &tests, values: &values, out })
    });
}

/// Pushes more than there is room for, and does not mind the panic.
struct PushTooMuch<'id, 'a>(Filling<'id, 'a, f32>);

impl<'id> Kernel for PushTooMuch<'id, '_> {
    type Output = Filled<'id>;

    #[inline(always)]
    fn run<L: Lanes>(mut self) -> Filled<'id> {
        let push = AssertUnwindSafe(|| self.0.push::<L>(L::splat(1.0), 3));
        assert!(catch_unwind(push).is_err(), "there is room for two");
        self.0.end()
    }
}

#[test]
#[should_panic(expected = "2 places of a part hold nothing")]
fn what_does_not_fit_fills_nothing() {
    build_filled::<f32>(&[2], |_, out| Family::detected().run(PushTooMuch(out)));
}
