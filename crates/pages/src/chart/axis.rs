//! Axes: from values to places, and their ticks.

use crate::number::{self, Unit};

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps are equally long.
    Linear,
    /// Equal ratios are equally long. What is not above 0 has no place.
    Powers,
}

/// An axis of a chart. Its range follows from what is drawn.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it measures.
    pub name: String,
    /// How values become places.
    pub scale: Scale,
    /// How its numbers are written.
    pub unit: Unit,
    /// Whether the range goes down to 0, for values that are compared by their height.
    pub from_zero: bool,
    /// Whether ticks are whole numbers: epochs.
    pub is_whole: bool,
}

impl Axis {
    /// Numbers in equal steps.
    pub fn linear(name: impl Into<String>) -> Self {
        Self { name: name.into(), scale: Scale::Linear, unit: Unit::Plain, from_zero: false, is_whole: false }
    }

    /// Shares of 1 in per cent.
    pub fn share(name: impl Into<String>) -> Self {
        Self { unit: Unit::Share, ..Self::linear(name) }
    }

    /// Numbers above 0 over several powers of ten.
    pub fn powers(name: impl Into<String>) -> Self {
        Self { scale: Scale::Powers, ..Self::linear(name) }
    }

    /// Numbers from 0 with whole ones as ticks, as epochs have.
    pub fn whole(name: impl Into<String>) -> Self {
        Self { is_whole: true, from_zero: true, ..Self::linear(name) }
    }

    /// The same, down to 0.
    #[must_use]
    pub fn from_zero(self) -> Self {
        Self { from_zero: true, ..self }
    }

    /// Whether `value` has a place.
    pub(super) fn takes(&self, value: f64) -> bool {
        value.is_finite() && (self.scale == Scale::Linear || value > 0.0)
    }
}

/// An axis with its range, which `most` ticks divide at the most.
pub(super) struct Ranged<'a> {
    axis: &'a Axis,
    low: f64,
    high: f64,
    /// Values and texts.
    pub(super) ticks: Vec<(f64, String)>,
}

impl<'a> Ranged<'a> {
    /// The range of `values`, to the next ticks if `rounds`.
    pub(super) fn new(axis: &'a Axis, values: impl Iterator<Item = f64>, most: usize, rounds: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| axis.takes(*value)) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (1.0, 1.0);
        }
        match axis.scale {
            Scale::Linear => Self::linear(axis, (low, high), most, rounds),
            Scale::Powers => Self::powers(axis, (low, high), most),
        }
    }

    fn linear(axis: &'a Axis, (low, high): (f64, f64), most: usize, rounds: bool) -> Self {
        let (mut low, mut high) = if axis.from_zero { (low.min(0.0), high.max(0.0)) } else { (low, high) };
        if high - low <= 1e-9 * high.abs().max(low.abs()) {
            // Equal values: a range around them.
            let room = if high == 0.0 { 1.0 } else { 0.01 * high.abs() };
            (low, high) = (if axis.from_zero { low } else { low - room }, high + room);
        }
        let least = if axis.is_whole { 1.0 } else { 0.0 };
        let step = nice_step((high - low) / most as f64).max(least);
        if rounds {
            (low, high) = ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
        }
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let ticks = (first..=last).map(|i| {
            let value = i as f64 * step;
            (value, number::tick(value, step, axis.unit))
        });
        Self { axis, low, high, ticks: ticks.collect() }
    }

    fn powers(axis: &'a Axis, (low, high): (f64, f64), most: usize) -> Self {
        let (first, last) = (low.log10().floor() as i32, (high.log10() - 1e-9).ceil() as i32);
        let last = last.max(first + 1);
        let every = ((last - first) as usize).div_ceil(most).max(1);
        let text = |power: i32| match power {
            -2..=3 => number::tick(10_f64.powi(power), 10_f64.powi(power.min(0)), Unit::Plain),
            _ => format!("1e{power}"),
        };
        let ticks = (first..=last).step_by(every).map(|power| (10_f64.powi(power), text(power)));
        Self { axis, low: 10_f64.powi(first), high: 10_f64.powi(last), ticks: ticks.collect() }
    }

    /// The place of `value`: 0 at the low end, 1 at the high one.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self.axis.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Powers => (value / self.low).log10() / (self.high / self.low).log10(),
        }
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `least`.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|times| times * power)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis, values: &[f64]) -> Vec<String> {
        let ranged = Ranged::new(axis, values.iter().copied(), 5, true);
        ranged.ticks.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_numbers_around_the_values() {
        assert_eq!(texts(&Axis::linear("x"), &[0.3, 8.32]), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(texts(&Axis::share("x"), &[0.21, 0.62]), ["20 %", "30 %", "40 %", "50 %", "60 %", "70 %"]);
        assert_eq!(texts(&Axis::linear("x").from_zero(), &[300.0, 310.0]), ["0", "100", "200", "300", "400"]);
        assert_eq!(texts(&Axis::powers("x"), &[0.02, 30.0]), ["0.01", "0.1", "1", "10", "100"]);
        assert_eq!(texts(&Axis::powers("x"), &[2e-9, 30.0]), ["1e-9", "1e-6", "1e-3", "1"]);
        assert_eq!(texts(&Axis::whole("x"), &[0.5, 2.0]), ["0", "1", "2"]);
        assert_eq!(texts(&Axis::linear("x"), &[0.0, 3e-5]), ["0", "1e-5", "2e-5", "3e-5"]);
    }

    #[test]
    fn places_go_from_0_to_1() {
        let axis = Axis::linear("x");
        let ranged = Ranged::new(&axis, [2.0, 4.0].into_iter(), 5, false);
        assert_eq!((ranged.place(2.0), ranged.place(3.0), ranged.place(4.0)), (0.0, 0.5, 1.0));
        let axis = Axis::powers("x");
        let ranged = Ranged::new(&axis, [0.1, 10.0].into_iter(), 5, false);
        assert!((ranged.place(1.0) - 0.5).abs() < 1e-12);
        // Momentum that does not change.
        let axis = Axis::linear("x");
        let ranged = Ranged::new(&axis, [0.99, 0.99].into_iter(), 5, true);
        assert!((0.0..=1.0).contains(&ranged.place(0.99)) && ranged.ticks.len() > 2);
    }
}
