//! What several training processes do together.

/// The seam for distributed training: everything a step exchanges with other processes goes through here.
///
/// An implementation must give every process the same result in the same order of ranks, so that replicas stay equal.
pub trait Collective: Send {
    /// Number of processes, at least 1.
    fn n_processes(&self) -> usize;

    /// This process, in `0..n_processes()`.
    fn rank(&self) -> usize;

    /// Replaces `values` by their mean over the processes.
    fn mean(&self, values: &mut [f32]);

    /// The rows of every process, rank after rank. Each process gives the same number.
    fn gather(&self, rows: Vec<f32>) -> Vec<f32>;
}

/// One process, alone.
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
