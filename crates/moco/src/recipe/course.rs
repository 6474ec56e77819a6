//! How long a run is.

/// The length of a run, for what is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// Training images.
    pub n_train: usize,
    /// Images in a step; not 0.
    pub batch: usize,
    /// Passes over the training images.
    pub epochs: usize,
}

impl Course {
    /// Steps of an epoch.
    pub fn steps_per_epoch(self) -> usize {
        self.n_train / self.batch
    }

    /// Steps of the run.
    pub fn n_steps(self) -> usize {
        self.steps_per_epoch().saturating_mul(self.epochs)
    }
}
