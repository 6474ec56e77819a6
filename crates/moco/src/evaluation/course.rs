//! How the training of a classifier goes on, stops, and is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use run_store::checkpoint::{Snapshot, Stored};

use super::EvaluationError;

/// How a training goes on, stops, and is kept. The result does not depend on it, nor on how often it was stopped.
pub struct Course<'a> {
    /// What an earlier training of the same settings has saved, to go on from.
    pub from: Option<&'a Snapshot>,
    /// Set from elsewhere to stop after the step under way.
    pub stop: &'a AtomicBool,
    /// Gets what is needed to go on: after each epoch but the last, and when it stops.
    pub save: &'a mut dyn FnMut(&Snapshot) -> Result<(), EvaluationError>,
}

/// Where a training is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Position {
    /// The next step, by epoch and step within it.
    pub(super) next: (u64, u64),
    /// Images that went through so far.
    pub(super) n_done: usize,
}

const POSITION: &str = "position";

impl Course<'_> {
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Checks that what is gone on from was started with `settings`, texts by name.
    ///
    /// # Errors
    /// The first that differs.
    pub(super) fn check(&self, settings: &BTreeMap<String, String>) -> Result<(), EvaluationError> {
        let Some(from) = self.from else { return Ok(()) };
        for (name, now) in settings {
            let before = from.metadata.get(name).map_or("", String::as_str);
            if before != now {
                return Err(EvaluationError::OtherTraining {
                    what: name.clone(),
                    before: before.to_owned(),
                    now: now.clone(),
                });
            }
        }
        Ok(())
    }
}

impl Position {
    /// The position of `snapshot`.
    ///
    /// # Errors
    /// If it has none.
    pub(super) fn of(snapshot: &Snapshot) -> Result<Self, EvaluationError> {
        match snapshot.tensors.get(POSITION) {
            Some(Stored::U64(values)) if values.len() == 3 => {
                Ok(Self { next: (values[0], values[1]), n_done: values[2] as usize })
            }
            _ => Err(lacking(POSITION)),
        }
    }

    pub(super) fn save(&self, tensors: &mut BTreeMap<String, Stored>) {
        let values = vec![self.next.0, self.next.1, self.n_done as u64];
        tensors.insert(POSITION.into(), Stored::U64(values));
    }
}

/// Numbers in double precision, kept by their bits.
pub(super) fn doubles(values: &[f64]) -> Stored {
    Stored::U64(values.iter().map(|value| value.to_bits()).collect())
}

/// The numbers of [`doubles`] by this name.
///
/// # Errors
/// If there are none, or not `n` of them.
pub(super) fn take_doubles(snapshot: &Snapshot, name: &str, n: usize) -> Result<Vec<f64>, EvaluationError> {
    match snapshot.tensors.get(name) {
        Some(Stored::U64(bits)) if bits.len() == n => {
            Ok(bits.iter().map(|&bits| f64::from_bits(bits)).collect())
        }
        _ => Err(lacking(name)),
    }
}

/// The error for what a checkpoint of a training should have.
pub(super) fn lacking(name: &str) -> EvaluationError {
    EvaluationError::State(train_core::engine::StateError::Missing(name.to_owned()))
}
