//! Numbers as readers see them.

/// What a value is, for the way in which it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// A number.
    #[default]
    Plain,
    /// A share, 0–1, written in per cent.
    Share,
}

/// `value` with about three digits: `61.2 %`, `8.32`, `1,234`, `3.00e-5`.
pub fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{:.1} %", 100.0 * value),
        Unit::Plain => plain(value),
    }
}

fn plain(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "not a number".into()
    } else if size == 0.0 {
        "0".into()
    } else if !(1e-3..1e7).contains(&size) {
        format!("{value:.2e}")
    } else if size >= 1000.0 {
        grouped(value.round() as i64)
    } else {
        let decimals = (2 - size.log10().floor() as i32).clamp(0, 5) as usize;
        format!("{value:.decimals$}")
    }
}

/// A count with commas between thousands.
fn grouped(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = if n < 0 { "-".to_owned() } else { String::new() };
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A tick of an axis whose ticks are `step` apart: with just the digits that tell it from the next.
pub(crate) fn tick(value: f64, step: f64, unit: Unit) -> String {
    let (value, step) = match unit {
        Unit::Share => (100.0 * value, 100.0 * step),
        Unit::Plain => (value, step),
    };
    let sign = if unit == Unit::Share { " %" } else { "" };
    let value = if value.abs() < step * 1e-9 { 0.0 } else { value };
    if value == 0.0 {
        return format!("0{sign}");
    }
    if !(1e-3..1e6).contains(&step) {
        // As many digits as the step asks for.
        let digits = (value.abs().log10().floor() - step.log10().floor()).max(0.0) as usize;
        return format!("{value:.digits$e}{sign}");
    }
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    if decimals == 0 && value.abs() >= 1000.0 {
        return format!("{}{sign}", grouped(value.round() as i64));
    }
    format!("{value:.decimals$}{sign}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_about_three_digits() {
        let cases = [
            (0.0, "0"),
            (8.317_8, "8.32"),
            (26.14, "26.1"),
            (0.444_4, "0.444"),
            (0.001_234, "0.00123"),
            (3.0e-5, "3.00e-5"),
            (1234.4, "1,234"),
            (-12_345.0, "-12,345"),
            (f64::NAN, "not a number"),
        ];
        for (value, expected) in cases {
            assert_eq!(shown(value, Unit::Plain), expected);
        }
        assert_eq!(shown(0.612_3, Unit::Share), "61.2 %");
    }

    #[test]
    fn ticks_have_the_digits_of_their_step() {
        assert_eq!(tick(2.0, 2.0, Unit::Plain), "2");
        assert_eq!(tick(0.25, 0.05, Unit::Plain), "0.25");
        assert_eq!(tick(0.3, 0.1, Unit::Share), "30 %");
        assert_eq!(tick(0.0, 1e-5, Unit::Plain), "0");
        assert_eq!(tick(3e-5, 1e-5, Unit::Plain), "3e-5");
        assert_eq!(tick(2500.0, 500.0, Unit::Plain), "2,500");
        // What is left of a difference is no digit.
        assert_eq!(tick(1e-17, 0.1, Unit::Plain), "0");
    }
}
