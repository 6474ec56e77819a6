//! Rows of unit length, first in, first out.

use plugin_api::{ConfigError, Module, PastKeys, Rng};
use tensor_ops::{
    Buffer, Device, Features, Matrix, OpError, Recording, Rows as _, constant, detach, features_from_rows,
    l2_normalize, select_rows,
};

/// The `K` newest rows of unit length: MoCo's queue, and the banks of its relatives.
///
/// It has `K` rows from the start, drawn uniformly from the unit sphere. Its state is the rows, under a name of the owner's, and
/// `pointer`.
pub struct RowRing {
    name: &'static str,
    /// `(K, D)`, in the order of positions.
    rows: Buffer,
    /// The position of the next row, which is that of the oldest one; below `K`.
    pointer: u64,
    len: usize,
    width: usize,
}

impl RowRing {
    /// A ring of `len` random rows of `width` values, which is saved under `name`. `what` is what messages call a row.
    ///
    /// # Errors
    /// If it has no row, or does not fit in memory; the error names the field `len`.
    pub fn random(
        name: &'static str,
        what: &str,
        (len, width): (usize, usize),
        rng: &mut Rng,
    ) -> Result<Self, ConfigError> {
        let too_long =
            || ConfigError::field("len", len, format!("{width} values for each {what} must fit in memory"));
        if len == 0 {
            return Err(ConfigError::field("len", len, "it must be at least 1"));
        }
        let mut values = Vec::new();
        values.try_reserve_exact(len.checked_mul(width).ok_or_else(too_long)?).map_err(|_| too_long())?;
        for _ in 0..len {
            values.extend(random_unit_row(width, rng));
        }
        let rows = Buffer::new(&[len, width], values).map_err(|_| too_long())?;
        Ok(Self { name, rows, pointer: 0, len, width })
    }

    /// `K`.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: there are always `K` rows.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// `D`.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The rows, `(K, D)`, in the order of positions, where the loss with a queue reads them.
    pub fn buffer(&self) -> &Buffer {
        &self.rows
    }

    /// The rows, `(K, D)`, each of unit length, not recorded. Rows of a checkpoint from elsewhere may have any length.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn rows(&self, device: &Device) -> Result<Features, OpError> {
        let rows = features_from_rows(device, (self.len, self.width), self.rows.to_vec(), Recording::Off)?;
        l2_normalize(rows)
    }

    /// The rows, oldest first.
    pub fn oldest_first(&self) -> PastKeys {
        let oldest = self.next() * self.width;
        let rows = self.rows.with_values(|values| [&values[oldest..], &values[..oldest]].concat());
        PastKeys { width: self.width, rows }
    }

    /// Takes in `rows`, `(N, D)`, each of [unit length](unit_rows), in place of the oldest; of more than `K`, the last.
    ///
    /// # Errors
    /// If they have another width.
    pub fn push(&mut self, rows: &Matrix) -> Result<(), OpError> {
        let n = rows.n();
        let newest: Vec<usize> = (n.saturating_sub(self.len)..n).collect();
        let start = self.next();
        match newest.len() == n {
            true => self.rows.write_rows(start, rows)?,
            false => self.rows.write_rows(start, &select_rows(rows, &newest)?)?,
        }
        self.pointer = ((start + newest.len()) % self.len) as u64;
        Ok(())
    }

    /// A pointer from a file may have any value.
    fn next(&self) -> usize {
        (self.pointer % self.len as u64) as usize
    }
}

impl Module for RowRing {
    plugin_api::visit! { self;
        self.name => self.rows,
        "pointer" => self.pointer,
    }
}

/// `rows`, each of unit length, not recorded.
///
/// # Errors
/// If the device has no room for them.
pub fn unit_rows(rows: &Matrix) -> Result<Matrix, OpError> {
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
    use tensor_ops::to_rows;

    use super::*;

    fn ring(len: usize, width: usize) -> RowRing {
        RowRing::random("keys", "key", (len, width), &mut Rng::new(5, "ring", &[])).unwrap()
    }

    /// Rows on a quarter circle: row `i` is at `i` hundredths of a radian.
    fn numbered(numbers: std::ops::Range<usize>) -> Matrix {
        let n = numbers.len();
        let rows = numbers.flat_map(|i| [(i as f32 / 100.0).cos(), (i as f32 / 100.0).sin()]).collect();
        detach(&features_from_rows(&Device::default(), (n, 2), rows, Recording::Off).unwrap())
    }

    fn number(row: &[f32]) -> usize {
        (row[1].atan2(row[0]) * 100.0).round() as usize
    }

    fn in_order(ring: &RowRing) -> Vec<usize> {
        ring.oldest_first().rows.chunks(2).map(number).collect()
    }

    #[test]
    fn the_oldest_rows_leave_first_and_wrap_around_the_end() {
        for (len, arrive) in [(6, 2), (7, 3), (5, 4), (5, 5), (11, 2), (3, 1)] {
            let mut ring = ring(len, 2);
            for step in 1..=20 {
                ring.push(&numbered((step - 1) * arrive..step * arrive)).unwrap();
                assert_eq!(ring.pointer, (step * arrive % len) as u64);
            }
            let newest: Vec<usize> = (20 * arrive - len..20 * arrive).collect();
            assert_eq!(in_order(&ring), newest, "{arrive} rows into {len}");
        }
        let mut ring = ring(5, 2);
        for start in [0, 3, 6] {
            ring.push(&numbered(start..start + 3)).unwrap();
        }
        let places = ring.buffer().with_values(|values| values.chunks(2).map(number).collect::<Vec<_>>());
        assert_eq!(places, [5, 6, 7, 8, 4]);
    }

    #[test]
    fn of_more_rows_than_there_is_room_for_the_last_stay() {
        let mut ring = ring(3, 2);
        ring.push(&numbered(0..8)).unwrap();
        assert_eq!(in_order(&ring), [5, 6, 7]);
    }

    #[test]
    fn random_rows_have_unit_length_and_differ() {
        let ring = ring(100, 16);
        let values = ring.buffer().to_vec();
        for row in values.chunks(16).chain(to_rows(&ring.rows(&Device::default()).unwrap()).chunks(16)) {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            assert!((length - 1.0).abs() < 1e-6, "{length}");
        }
        assert_ne!(values[..16], values[16..32]);
        assert_eq!((ring.len(), ring.width(), ring.is_empty()), (100, 16, false));
    }

    #[test]
    fn rows_of_any_length_become_unit_rows() {
        let rows = features_from_rows(&Device::default(), (1, 2), vec![3.0, 4.0], Recording::Off).unwrap();
        assert_eq!(to_rows(&constant(&unit_rows(&detach(&rows)).unwrap())), [0.6, 0.8]);
    }

    #[test]
    fn a_ring_of_nothing_or_beyond_memory_and_rows_of_another_width_are_refused() {
        let said = |len| {
            let mut rng = Rng::new(5, "ring", &[]);
            RowRing::random("keys", "key", (len, 2), &mut rng).err().unwrap().to_string()
        };
        assert_eq!(said(0), "`len` is 0, but it must be at least 1");
        assert!(said(usize::MAX / 2).ends_with("2 values for each key must fit in memory"));
        assert!(ring(4, 3).push(&numbered(0..2)).is_err());
    }
}
