//! Communication between training processes.

/// The interface for distributed training: everything a step exchanges with other processes goes through it.
///
/// An implementation must give every process the same result, with ranks in the same order, so that replicas stay
/// equal.
pub trait Collective: Send {
    /// The number of processes, at least 1.
    fn n_processes(&self) -> usize;

    /// The rank of this process, in `0..n_processes()`.
    fn rank(&self) -> usize;

    /// Replaces `values` by their mean over the processes (all-reduce).
    fn mean(&self, values: &mut [f32]);

    /// The rows of all processes, in order of rank (all-gather). Each process passes the same number.
    fn gather(&self, rows: Vec<f32>) -> Vec<f32>;
}

/// A single process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleProcess;

impl Collective for SingleProcess {
    fn n_processes(&self) -> usize {
        1
    }

    fn rank(&self) -> usize {
        0
    }

    fn mean(&self, _values: &mut [f32]) {}

    fn gather(&self, rows: Vec<f32>) -> Vec<f32> {
        rows
    }
}
