//! One process.

use crate::{Processes, ProcessesError, Summing};

/// A process that trains by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Processes for Alone {
    fn n(&self) -> usize {
        1
    }

    fn rank(&self) -> usize {
        0
    }

    fn gather_bytes(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, ProcessesError> {
        Ok(vec![own.to_vec()])
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, ProcessesError> {
        Ok(bytes)
    }

    fn start_sum(&self, values: Vec<f32>) -> Result<Summing, ProcessesError> {
        Ok(Summing::done(values))
    }

    /// There is no other.
    fn abort(&self, _why: &str) {}
}
