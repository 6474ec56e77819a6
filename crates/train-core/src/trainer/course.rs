//! The length of a run, and the hyperparameters of each step.

use pipeline::{LearningRateConfig, MomentumConfig};
use plugin_api::{Progress, Schedule};

use super::TrainError;

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

    /// # Errors
    /// If the schedule gives a factor that no learning rate can have: training would climb, or end in NaN.
    pub(super) fn lr(&self, at: Progress) -> Result<f64, TrainError> {
        let factor = self.schedule.factor(at);
        if factor.is_finite() && factor >= 0.0 {
            return Ok(self.learning_rate.scaled(self.batch) * factor);
        }
        Err(TrainError::Schedule { factor, epoch: at.epoch + 1, step: at.step + 1 })
    }

    /// The momentum coefficient.
    pub(super) fn momentum(&self, at: Progress) -> f64 {
        self.momentum.map_or(1.0, |momentum| momentum.at(at.share()))
    }
}

#[cfg(test)]
mod tests {
    use pipeline::LearningRateScale;

    use super::*;

    struct Always(f64);

    impl Schedule for Always {
        fn factor(&self, _: Progress) -> f64 {
            self.0
        }
    }

    #[test]
    fn a_factor_that_is_negative_or_no_number_is_an_error() {
        let lr = |factor| {
            let course = Course {
                seed: 0,
                batch: 8,
                epochs: 2,
                steps_per_epoch: 3,
                momentum: None,
                learning_rate: LearningRateConfig { base: 0.5, scale: LearningRateScale::Absolute },
                schedule: Box::new(Always(factor)),
            };
            course.lr(course.at(1, 2))
        };
        assert_eq!(lr(0.5).unwrap(), 0.25);
        assert_eq!(lr(0.0).unwrap(), 0.0);
        for factor in [-0.5, f64::NAN, f64::INFINITY] {
            let error = lr(factor).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&format!("gives the factor {factor} at epoch 2, step 3")), "{text}");
            assert!(error.hint().unwrap().contains("`Schedule::factor`"));
        }
    }
}
