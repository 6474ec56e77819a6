//! How the learning rate changes, and any other number by a ramp.

/// A factor on the base learning rate; in a ramp, how far the number is from what is written to the other end.
pub trait Schedule: Send + Sync {
    /// The factor for a step: a number of 0 or more, or the run ends.
    fn factor(&self, at: Progress) -> f64;
}

/// Where in training a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whole epochs done.
    pub epoch: usize,
    /// Steps done in this epoch.
    pub step: usize,
    /// Steps in an epoch, at least 1.
    pub steps_per_epoch: usize,
    /// Epochs in the run, at least 1.
    pub epochs: usize,
}

impl Progress {
    /// Epochs done, with the part of the present one.
    pub fn epochs_done(self) -> f64 {
        self.epoch as f64 + self.step as f64 / self.steps_per_epoch as f64
    }

    /// Done share of the run, 0–1.
    pub fn share(self) -> f64 {
        self.epochs_done() / self.epochs as f64
    }
}

/// What a schedule is told besides its config.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleContext {
    /// Epochs in the run.
    pub epochs: usize,
}
