//! Rows of past images.

use plugin_api::{ConfigError, Module, ObjectiveContext, PastKeys, Rng};
use tensor_ops::{
    Buffer, Device, Features, Matrix, OpError, Recording, Rows as _, constant, detach, features_from_rows,
    l2_normalize, select_rows,
};

/// The newest rows of unit length, first in, first out.
pub(crate) struct Bank {
    /// `(K, D)`, in the order of positions.
    rows: Buffer,
    /// The position of the next row, which is that of the oldest one; below `K`.
    pointer: u64,
    len: usize,
    width: usize,
    /// What the losses of a step have put aside.
    arrived: Vec<Matrix>,
}

/// The names under which rows are saved.
pub(crate) const ROWS: &str = "bank";

impl Bank {
    /// A bank of random unit rows.
    pub(crate) fn new(len: usize, width: usize, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let too_long =
            || ConfigError::field("len", len, format!("{width} values for each row must fit in memory"));
        if len == 0 {
            return Err(ConfigError::field("len", len, "it must be at least 1"));
        }
        let mut values = Vec::new();
        values.try_reserve_exact(len.checked_mul(width).ok_or_else(too_long)?).map_err(|_| too_long())?;
        let mut rng = context.rng(ROWS);
        for _ in 0..len {
            values.extend(random_unit_row(width, &mut rng));
        }
        let rows = Buffer::new(&[len, width], values).map_err(|_| too_long())?;
        Ok(Self { rows, pointer: 0, len, width, arrived: Vec::new() })
    }

    /// The rows, `(K, D)`, each of unit length, not recorded. Rows of a checkpoint from elsewhere may have any length.
    pub(crate) fn rows(&self, device: &Device) -> Result<Features, OpError> {
        let rows = features_from_rows(device, (self.len, self.width), self.rows.to_vec(), Recording::Off)?;
        l2_normalize(rows)
    }

    /// The rows, oldest first.
    pub(crate) fn past_keys(&self) -> PastKeys {
        let oldest = (self.pointer % self.len as u64) as usize * self.width;
        let rows = self.rows.with_values(|values| [&values[oldest..], &values[..oldest]].concat());
        PastKeys { width: self.width, rows }
    }

    /// Puts rows aside for [`end_step`](Self::end_step).
    pub(crate) fn put_aside(&mut self, rows: &Matrix) -> Result<(), OpError> {
        self.arrived.push(unit_rows(rows)?);
        Ok(())
    }

    /// Forgets what was put aside.
    pub(crate) fn discard_step(&mut self) {
        self.arrived.clear();
    }

    /// Takes in what was put aside; of more rows than there is room for, the last.
    pub(crate) fn end_step(&mut self) -> Result<(), OpError> {
        for rows in std::mem::take(&mut self.arrived) {
            let n = rows.n();
            let newest: Vec<usize> = (n.saturating_sub(self.len)..n).collect();
            // A pointer from a file may have any value.
            let start = (self.pointer % self.len as u64) as usize;
            self.rows.write_rows(start, &select_rows(&rows, &newest)?)?;
            self.pointer = ((start + newest.len()) % self.len) as u64;
        }
        Ok(())
    }
}

impl Module for Bank {
    plugin_api::visit! { self;
        ROWS => self.rows,
        "pointer" => self.pointer,
    }
}

/// `rows`, each of unit length.
pub(crate) fn unit_rows(rows: &Matrix) -> Result<Matrix, OpError> {
    Ok(detach(&l2_normalize(constant(rows))?))
}

/// Uniform on the unit sphere.
fn random_unit_row(width: usize, rng: &mut Rng) -> impl Iterator<Item = f32> {
    let row: Vec<f64> = (0..width).map(|_| rng.normal()).collect();
    let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
    row.into_iter().map(move |value| (value / norm) as f32)
}

#[cfg(test)]
mod tests {
    use loss_parity::{context, noise};
    use tensor_ops::to_rows;

    use super::*;

    fn bank(len: usize) -> Bank {
        Bank::new(len, 2, &context(1, 1, (4, 2))).unwrap()
    }

    /// Rows on a quarter circle, of length 3: row `i` is at `i` hundredths of a radian.
    fn numbered(numbers: std::ops::Range<usize>) -> Matrix {
        let n = numbers.len();
        let at = |i: usize| i as f32 / 100.0;
        let rows = numbers.flat_map(|i| [3.0 * at(i).cos(), 3.0 * at(i).sin()]).collect();
        detach(&features_from_rows(&Device::default(), (n, 2), rows, Recording::Off).unwrap())
    }

    fn number(row: &[f32]) -> usize {
        (row[1].atan2(row[0]) * 100.0).round() as usize
    }

    fn numbers(bank: &Bank) -> Vec<usize> {
        bank.rows.with_values(|values| values.chunks(2).map(number).collect())
    }

    fn take_in(bank: &mut Bank, rows: &Matrix) {
        bank.put_aside(rows).unwrap();
        bank.end_step().unwrap();
    }

    #[test]
    fn the_oldest_rows_leave_first_and_a_batch_wraps_around_the_end() {
        let mut bank = bank(5);
        for start in [0, 3, 6] {
            take_in(&mut bank, &numbered(start..start + 3));
        }
        assert_eq!(numbers(&bank), [5, 6, 7, 8, 4]);
        let PastKeys { width, rows } = bank.past_keys();
        assert_eq!((width, rows.chunks(2).map(number).collect::<Vec<_>>()), (2, vec![4, 5, 6, 7, 8]));
        assert_eq!(bank.pointer, 4);
    }

    #[test]
    fn of_a_batch_that_is_longer_than_the_bank_the_last_rows_stay() {
        let mut bank = bank(3);
        take_in(&mut bank, &numbered(0..8));
        assert_eq!(numbers(&bank), [5, 6, 7]);
    }

    #[test]
    fn nothing_changes_before_the_step_ends() {
        let mut bank = bank(5);
        let before = bank.rows.to_vec();
        bank.put_aside(&numbered(0..3)).unwrap();
        assert_eq!(bank.rows.to_vec(), before);
        bank.put_aside(&numbered(3..5)).unwrap();
        bank.end_step().unwrap();
        assert_eq!(numbers(&bank), [0, 1, 2, 3, 4]);
        bank.end_step().unwrap();
        assert_eq!(bank.pointer, 0);
    }

    #[test]
    fn rows_have_unit_length_from_the_start() {
        let mut bank = Bank::new(7, 16, &context(1, 1, (4, 16))).unwrap();
        take_in(&mut bank, &noise(3, (4, 16)).unwrap());
        let rows = to_rows(&bank.rows(&Device::default()).unwrap());
        for row in rows.chunks(16) {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            assert!((length - 1.0).abs() < 1e-6, "{length}");
        }
    }

    #[test]
    fn a_bank_of_nothing_or_beyond_memory_is_refused() {
        let said = |len| Bank::new(len, 2, &context(1, 1, (4, 2))).err().unwrap().to_string();
        assert_eq!(said(0), "`len` is 0, but it must be at least 1");
        assert!(said(usize::MAX / 2).ends_with("2 values for each row must fit in memory"));
    }
}
