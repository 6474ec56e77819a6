//! Rows of past images.

use plugin_api::{ConfigError, Module, ObjectiveContext, PastKeys};
use tensor_ops::{Device, Features, Matrix, OpError};

use crate::row_ring::{RowRing, unit_rows};

/// The newest rows of unit length that an [`Objective`](plugin_api::Objective) has seen. What arrives in a step is put aside, and
/// taken in at its end, so that all losses of a step see the same rows.
///
/// Its state is `bank` and `pointer`.
///
/// # Example
///
/// ```
/// use nn::Bank;
/// use plugin_api::{InputShape, ObjectiveContext};
/// use tensor_ops::{Device, Recording, detach, features_from_rows};
///
/// let device = Device::default();
/// let context = ObjectiveContext {
///     device: device.clone(),
///     inputs: vec![InputShape { name: "z".into(), width: 2, map: None, is_trained: true }],
///     batch: 1,
///     epochs: 1,
///     seed: 0,
///     name: "loss".into(),
/// };
/// let mut bank = Bank::new(8, 2, &context).unwrap();
/// let keys = features_from_rows(&device, (1, 2), vec![3.0, 4.0], Recording::Off).unwrap();
/// bank.put_aside(&detach(&keys)).unwrap();
/// bank.end_step().unwrap();
/// assert!(bank.past_keys().rows.ends_with(&[0.6, 0.8]));
/// ```
pub struct Bank {
    ring: RowRing,
    /// What the losses of a step have put aside.
    arrived: Vec<Matrix>,
}

/// What the draws are keyed by, and what the rows are saved under.
const ROWS: &str = "bank";

impl Bank {
    /// A bank of `len` random unit rows of `width` values.
    ///
    /// # Errors
    /// If it has no row, or does not fit in memory; the error names the field `len`.
    pub fn new(len: usize, width: usize, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let ring = RowRing::random(ROWS, "row", (len, width), &mut context.rng(ROWS))?;
        Ok(Self { ring, arrived: Vec::new() })
    }

    /// The rows, `(K, D)`, each of unit length, not recorded.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn rows(&self, device: &Device) -> Result<Features, OpError> {
        self.ring.rows(device)
    }

    /// The rows, oldest first: what [`Objective::past_keys`](plugin_api::Objective::past_keys) gives.
    pub fn past_keys(&self) -> PastKeys {
        self.ring.oldest_first()
    }

    /// Puts rows aside for [`end_step`](Self::end_step). They may have any length.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn put_aside(&mut self, rows: &Matrix) -> Result<(), OpError> {
        self.arrived.push(unit_rows(rows)?);
        Ok(())
    }

    /// Forgets what was put aside: for [`Objective::discard_step`](plugin_api::Objective::discard_step).
    pub fn discard_step(&mut self) {
        self.arrived.clear();
    }

    /// Takes in what was put aside; of more rows than there is room for, the last.
    ///
    /// # Errors
    /// If they have another width.
    pub fn end_step(&mut self) -> Result<(), OpError> {
        std::mem::take(&mut self.arrived).iter().try_for_each(|rows| self.ring.push(rows))
    }
}

impl Module for Bank {
    plugin_api::visit! { self;
        "" => self.ring,
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::InputShape;
    use tensor_ops::{Recording, detach, features_from_rows};

    use super::*;

    fn bank(len: usize) -> Bank {
        let context = ObjectiveContext {
            device: Device::default(),
            inputs: vec![InputShape { name: "z".into(), width: 2, map: None, is_trained: true }],
            batch: 4,
            epochs: 1,
            seed: 1,
            name: "loss".into(),
        };
        Bank::new(len, 2, &context).unwrap()
    }

    fn rows(values: &[f32]) -> Matrix {
        let shape = (values.len() / 2, 2);
        detach(&features_from_rows(&Device::default(), shape, values.to_vec(), Recording::Off).unwrap())
    }

    #[test]
    fn nothing_changes_before_the_step_ends() {
        let mut bank = bank(3);
        let before = bank.past_keys().rows;
        bank.put_aside(&rows(&[3.0, 4.0])).unwrap();
        assert_eq!(bank.past_keys().rows, before);
        bank.put_aside(&rows(&[0.0, 2.0])).unwrap();
        bank.end_step().unwrap();
        assert_eq!(bank.past_keys().rows[2..], [0.6, 0.8, 0.0, 1.0]);
        let after = bank.past_keys().rows;
        bank.end_step().unwrap();
        assert_eq!(bank.past_keys().rows, after);
    }

    #[test]
    fn a_step_that_is_discarded_leaves_nothing() {
        let mut bank = bank(3);
        let before = bank.past_keys().rows;
        bank.put_aside(&rows(&[3.0, 4.0])).unwrap();
        bank.discard_step();
        bank.end_step().unwrap();
        assert_eq!(bank.past_keys().rows, before);
    }
}
