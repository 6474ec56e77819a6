//! The queue and its loss.

use dfdx::prelude::HasShape;
use nn::{RowRing, unit_rows};
use plugin_api::{
    ConfigError, Contrast, ContrastiveLoss, Keys, LossContext, LossRange, Module, PastKeys, set_temperature,
};
use tensor_ops::{Features, KeepLogits, Matrix, OpError, info_nce_queue, l2_normalize};

use crate::QueueConfig;

/// What the draws are keyed by, and what the keys are saved under.
const QUEUE: &str = "queue";

/// The `K` newest keys, and InfoNCE with them as negatives.
pub struct Queue {
    /// `(K, C)`.
    keys: RowRing,
    temperature: f64,
}

impl Queue {
    /// The queue for `config`, filled with random unit vectors.
    ///
    /// # Errors
    /// If it is too short for the keys of one step or too long for memory, or the temperature is not positive.
    pub fn new(config: QueueConfig, context: &LossContext) -> Result<Self, ConfigError> {
        config.check(context)?;
        let QueueConfig { len, temperature } = config;
        let keys = RowRing::random(QUEUE, "key", (len, context.n_inputs), &mut context.rng(QUEUE))?;
        Ok(Self { keys, temperature })
    }

    fn check_width(&self, what: &'static str, keys: &Matrix) -> Result<(), OpError> {
        let (_, width) = *keys.shape();
        if width == self.keys.width() {
            return Ok(());
        }
        let expected = self.keys.width().to_string();
        Err(OpError::Shape { op: "queue", what, expected, got: width.to_string() })
    }
}

impl Module for Queue {
    plugin_api::visit! { self;
        "" => self.keys,
    }
}

impl ContrastiveLoss for Queue {
    fn loss(&mut self, queries: Features, keys: Keys<'_>, keep: KeepLogits) -> Result<Contrast, OpError> {
        self.check_width("width of a key", keys.own)?;
        let queries = l2_normalize(queries)?;
        let own = unit_rows(keys.own)?;
        info_nce_queue(queries, &own, self.keys.buffer(), self.temperature as f32, keep)
    }

    fn enqueue(&mut self, keys: &Matrix) -> Result<(), OpError> {
        self.check_width("width of a key", keys)?;
        let (n_keys, _) = *keys.shape();
        if n_keys > self.keys.len() {
            return Err(OpError::Value {
                op: "queue",
                what: "number of keys in one step",
                got: n_keys.to_string(),
                must: "it must be at most the length of the queue",
            });
        }
        self.keys.push(&unit_rows(keys)?)
    }

    fn past_keys(&self) -> Option<PastKeys> {
        Some(self.keys.oldest_first())
    }

    fn is_separable(&self) -> bool {
        true
    }

    fn loss_range(&self, _: usize) -> LossRange {
        let n_negatives = self.keys.len() as f64;
        LossRange {
            chance: (n_negatives + 1.0).ln(),
            floor: (n_negatives * (-1.0 / self.temperature).exp()).ln_1p(),
        }
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        set_temperature(&mut self.temperature, field, value)
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{AsArray, PutTape, TensorFromVec};
    use tensor_ops::{Device, Recording};

    use super::*;

    fn context(n_inputs: usize, keys_per_step: usize) -> LossContext {
        LossContext {
            device: Device::default(),
            n_inputs,
            batch: keys_per_step,
            keys_per_step,
            seed: 5,
            name: "contrast".into(),
        }
    }

    fn queue(len: usize, width: usize, keys_per_step: usize) -> Queue {
        Queue::new(QueueConfig { len, temperature: 0.2 }, &context(width, keys_per_step)).unwrap()
    }

    fn matrix(values: Vec<f32>, width: usize) -> Matrix {
        let n_rows = values.len() / width;
        Device::default().tensor_from_vec(values, (n_rows, width))
    }

    /// Keys on a quarter circle, so that each can be told from its numbers: key `i` is at `i` hundredths of a radian.
    fn numbered_keys(numbers: std::ops::Range<usize>) -> Matrix {
        let angle = |i: usize| i as f32 / 100.0;
        matrix(numbers.flat_map(|i| [3.0 * angle(i).cos(), 3.0 * angle(i).sin()]).collect(), 2)
    }

    /// The keys, oldest first; `None` for a random initial one.
    fn numbers(queue: &Queue) -> Vec<Option<usize>> {
        let number = |row: &[f32]| {
            let hundredths = row[1].atan2(row[0]) * 100.0;
            (hundredths >= -0.01 && (hundredths - hundredths.round()).abs() < 1e-3)
                .then_some(hundredths.round() as usize)
        };
        queue.past_keys().unwrap().rows.chunks(2).map(number).collect()
    }

    #[test]
    fn the_oldest_keys_leave_the_queue_first() {
        let mut queue = queue(6, 2, 2);
        for start in [0, 2, 4] {
            queue.enqueue(&numbered_keys(start..start + 2)).unwrap();
        }
        assert_eq!(numbers(&queue), [0, 1, 2, 3, 4, 5].map(Some));
        queue.enqueue(&numbered_keys(6..8)).unwrap();
        assert_eq!(numbers(&queue), [2, 3, 4, 5, 6, 7].map(Some));
    }

    #[test]
    fn comparing_does_not_change_the_queue() {
        let mut queue = queue(9, 4, 3);
        let before = queue.past_keys().unwrap().rows;
        let keys = matrix((0..12).map(|i| (i as f32).sin()).collect(), 4);
        let queries = keys.clone().put_tape(Recording::start());
        let own = Keys { own: &keys, all: &keys, first: 0 };
        queue.loss(queries, own, KeepLogits::No).unwrap();
        assert!(queue.past_keys().unwrap().rows == before);
    }

    #[test]
    fn a_query_and_its_key_meet_at_unit_length() {
        let mut queue = queue(9, 4, 3);
        let keys = matrix((1..13).map(|i| (i as f32).sin()).collect(), 4);
        let mut loss = |scale: f32| {
            let scaled = matrix(keys.as_vec().iter().map(|v| v * scale).collect(), 4);
            let own = Keys { own: &scaled, all: &scaled, first: 0 };
            queue.loss(scaled.clone().put_tape(Recording::Off), own, KeepLogits::No).unwrap().loss.array()
        };
        assert!((loss(1.0) - loss(10.0)).abs() < 1e-5);
    }

    #[test]
    fn keys_of_another_width_or_too_many_are_refused() {
        let mut queue = queue(4, 2, 2);
        assert!(queue.enqueue(&matrix(vec![1.0; 6], 3)).is_err());
        assert!(queue.enqueue(&numbered_keys(0..5)).is_err());
        assert!(queue.enqueue(&numbered_keys(0..4)).is_ok());
    }

    #[test]
    fn a_queue_shorter_than_the_keys_of_one_step_is_refused() {
        let new = |len, temperature| Queue::new(QueueConfig { len, temperature }, &context(8, 16)).map(drop);
        let error = new(15, 0.2).unwrap_err().to_string();
        assert_eq!(error, "`len` is 15, but it must be at least the 16 keys that arrive in one step");
        assert!(new(16, 0.2).is_ok());
        assert!(new(usize::MAX, 0.2).is_err());
        assert!(new(16, 0.0).is_err());
        assert!(new(16, f64::NAN).is_err());
    }

    #[test]
    fn the_thermometer_shows_chance_and_floor() {
        // reference: chance ln(K + 1); floor ln(1 + K e^(-1/T)), rounded to two places
        for (len, temperature, chance, floor) in
            [(65536, 0.07, 11.09, 0.04), (65536, 0.2, 11.09, 6.09), (4096, 0.1, 8.32, 0.17)]
        {
            let queue = Queue::new(QueueConfig { len, temperature }, &context(1, 16)).unwrap();
            let LossRange { chance: c, floor: f } = queue.loss_range(16);
            assert!((c - chance).abs() < 0.005 && (f - floor).abs() < 0.005, "{len} {temperature}: {c} {f}");
        }
    }
}
