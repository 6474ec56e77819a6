//! The length of a run, and the hyperparameters of each step.

use pipeline::{LearningRateConfig, MomentumConfig};
use plugin_api::{Progress, Schedule};

/// The length of a run, and what changes along it.
pub(super) struct Course {
    /// The seed of all random draws.
    pub(super) seed: u64,
    /// The batch size.
    pub(super) batch: usize,
    /// Epochs in the run.
    pub(super) epochs: usize,
    /// Steps per epoch.
    pub(super) steps_per_epoch: usize,
    pub(super) momentum: Option<MomentumConfig>,
    pub(super) learning_rate: LearningRateConfig,
    pub(super) schedule: Box<dyn Schedule>,
}

impl Course {
    /// The step `step` of the epoch `epoch`, both from 0.
    pub(super) fn at(&self, epoch: usize, step: usize) -> Progress {
        Progress { epoch, step, steps_per_epoch: self.steps_per_epoch, epochs: self.epochs }
    }

    pub(super) fn lr(&self, at: Progress) -> f64 {
        self.learning_rate.scaled(self.batch) * self.schedule.factor(at)
    }

    /// The momentum coefficient.
    pub(super) fn momentum(&self, at: Progress) -> f64 {
        self.momentum.map_or(1.0, |momentum| momentum.at(at.share()))
    }
}
