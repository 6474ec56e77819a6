//! What several processes that train one network together exchange.
//!
//! Start at [`Processes`]. Every process makes the same calls in the same order, and gets the same results: so replicas of a
//! network stay equal. What they add, they add in the order of [`Tree`], which is fixed by their number alone.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod alone;
mod error;
mod launcher;
mod share;
mod summing;
mod thread_group;
mod tree;
mod wire;

use std::fmt::Debug;

pub use self::alone::Alone;
pub use self::error::ProcessesError;
pub use self::launcher::{Launcher, launcher};
pub use self::share::share;
pub use self::summing::Summing;
pub use self::thread_group::{ThreadGroup, ThreadProcess};
pub use self::tree::{Tree, sum_in_order};
pub use self::wire::Wire;

/// The processes that train one network, as one of them sees them.
///
/// All of them call the same functions in the same order. After an error nothing more can be exchanged: whoever meets one calls
/// [`abort`](Self::abort), so that no other process waits for it.
pub trait Processes: Send + Sync + Debug {
    /// How many there are, at least 1.
    fn n(&self) -> usize;

    /// The number of this one, in `0..n()`.
    fn rank(&self) -> usize;

    /// What each process gives, in order of rank. Each may give as much as it likes.
    ///
    /// # Errors
    /// See [`ProcessesError`].
    fn gather_bytes(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, ProcessesError>;

    /// What process 0 gives; what the others give is not looked at.
    ///
    /// # Errors
    /// See [`ProcessesError`].
    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, ProcessesError>;

    /// Starts to add what all processes give, value by value, in the order of [`Tree`]. Each gives as many values.
    ///
    /// # Errors
    /// See [`ProcessesError`].
    fn start_sum(&self, values: Vec<f32>) -> Result<Summing, ProcessesError>;

    /// Ends the training of all processes, wherever they are. `why` is what the others are told, as far as they can be.
    fn abort(&self, why: &str);

    /// The values of all processes, rank after rank.
    ///
    /// # Errors
    /// See [`ProcessesError`].
    fn gather(&self, own: &[f32]) -> Result<Vec<f32>, ProcessesError> {
        let bytes: Vec<u8> = own.iter().flat_map(|value| value.to_le_bytes()).collect();
        let all = self.gather_bytes(&bytes)?;
        Ok(all
            .iter()
            .flat_map(|of_rank| of_rank.as_chunks().0)
            .map(|value| f32::from_le_bytes(*value))
            .collect())
    }

    /// The sum of what all processes give, value by value, in the order of [`Tree`].
    ///
    /// # Errors
    /// See [`ProcessesError`].
    fn sum(&self, values: Vec<f32>) -> Result<Vec<f32>, ProcessesError> {
        self.start_sum(values)?.wait()
    }

    /// Whether this is the process that prints and writes files.
    fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether any process says so.
    ///
    /// # Errors
    /// See [`ProcessesError`].
    fn any(&self, own: bool) -> Result<bool, ProcessesError> {
        Ok(self.gather_bytes(&[u8::from(own)])?.concat().contains(&1))
    }
}
