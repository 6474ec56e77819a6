//! A learning rate that drops at given epochs.

use plugin_api::{ConfigError, Progress, Schedule, ScheduleContext};

/// The config of [`Steps`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepsConfig {
    /// Epochs at which the learning rate drops, counted from 0, in order. MoCo v1: [120, 160] of 200.
    pub at: Vec<usize>,
    /// Factor of each drop. MoCo v1: 0.1.
    #[serde(default = "StepsConfig::moco_v1_factor")]
    pub factor: f64,
}

impl StepsConfig {
    fn moco_v1_factor() -> f64 {
        0.1
    }
}

/// The product of one factor for each listed epoch that has been reached.
#[derive(Debug, Clone)]
pub struct Steps {
    config: StepsConfig,
}

impl Steps {
    /// The schedule for `config`.
    ///
    /// # Errors
    /// If an epoch is out of order or outside the run, or the factor is not below 1.
    pub fn new(config: StepsConfig, context: &ScheduleContext) -> Result<Self, ConfigError> {
        let StepsConfig { at, factor } = &config;
        if !at.is_sorted_by(|a, b| a < b) {
            return Err(ConfigError::field("at", format!("{at:?}"), "it must be in rising order"));
        }
        // A drop that never comes means that the schedule is for another number of epochs.
        if at.iter().any(|epoch| !(1..context.epochs).contains(epoch)) {
            let must = format!("each epoch must be at least 1 and before the run's end, {}", context.epochs);
            return Err(ConfigError::field("at", format!("{at:?}"), must));
        }
        if !(*factor > 0.0 && *factor < 1.0) {
            return Err(ConfigError::field("factor", factor, "it must be between 0 and 1"));
        }
        Ok(Self { config })
    }
}

impl Schedule for Steps {
    fn factor(&self, at: Progress) -> f64 {
        let drops = self.config.at.iter().filter(|epoch| at.epoch >= **epoch);
        drops.fold(1.0, |factor, _| factor * self.config.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(epoch: usize) -> f64 {
        let config = StepsConfig { at: vec![120, 160], factor: StepsConfig::moco_v1_factor() };
        let steps = Steps::new(config, &ScheduleContext { epochs: 200 }).unwrap();
        steps.factor(Progress { epoch, step: 7, steps_per_epoch: 10, epochs: 200 })
    }

    #[test]
    fn moco_v1_drops_tenfold_at_epochs_120_and_160() {
        // PyTorch: lr = 0.03; for m in [120, 160]: lr *= 0.1 if epoch >= m else 1.0
        for (epoch, expected) in
            [(0, 0.03), (119, 0.03), (120, 0.003), (159, 0.003), (160, 0.0003), (199, 0.0003)]
        {
            assert!((0.03 * factor(epoch) - expected).abs() < 1e-15, "epoch {epoch}");
        }
    }

    #[test]
    fn a_drop_outside_the_run_is_refused() {
        let new = |at: &[usize], factor, epochs| {
            Steps::new(StepsConfig { at: at.to_vec(), factor }, &ScheduleContext { epochs })
        };
        let error = new(&[120, 160], 0.1, 100).unwrap_err().to_string();
        assert_eq!(
            error,
            "`at` is [120, 160], but each epoch must be at least 1 and before the run's end, 100"
        );
        assert!(new(&[0], 0.1, 100).is_err());
        assert!(new(&[60, 60], 0.1, 100).is_err());
        assert!(new(&[60], f64::NAN, 100).is_err());
        assert!(new(&[60], 1.0, 100).is_err());
        assert!(new(&[], 0.1, 100).is_ok());
    }
}
