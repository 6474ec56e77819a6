//! Warm-up, then cosine decay.

use std::f64::consts::PI;

use plugin_api::{ConfigError, Progress, Schedule, ScheduleContext};

/// The config of [`Cosine`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CosineConfig {
    /// Epochs of linear warm-up from exactly 0; may be a fraction. MoCo v2: 0; v3: 10 for a ResNet, 40 for a ViT.
    #[serde(default = "CosineConfig::moco_v2_warmup_epochs")]
    pub warmup_epochs: f64,
    /// When the learning rate changes. MoCo v2: Epoch; v3: Step.
    #[serde(default = "CosineConfig::moco_v3_per")]
    pub per: Per,
    /// Number of the first epoch, 0 or 1. Papers: 0. MoCo's CIFAR-10 demo counts from 1, so that its last epoch has a
    /// learning rate of exactly 0; needs `per: Epoch`.
    #[serde(default = "CosineConfig::papers_first_epoch")]
    pub first_epoch: usize,
}

impl CosineConfig {
    fn moco_v2_warmup_epochs() -> f64 {
        0.0
    }

    fn moco_v3_per() -> Per {
        Per::Step
    }

    fn papers_first_epoch() -> usize {
        0
    }
}

/// How often the learning rate changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
pub enum Per {
    /// At every step.
    Step,
    /// At the start of an epoch.
    Epoch,
}

/// `e / W` for the first `W` epochs, then `½ (1 + cos(π (e − W) / (E − W)))`, where `e` of `E` epochs are done
/// (Loshchilov & Hutter 2017, arXiv:1608.03983, Eq. 5, without restarts).
#[derive(Debug, Clone)]
pub struct Cosine {
    config: CosineConfig,
}

impl Cosine {
    /// The schedule for `config`.
    ///
    /// # Errors
    /// If the warm-up is not shorter than the run, or two fields contradict each other.
    pub fn new(config: CosineConfig, context: &ScheduleContext) -> Result<Self, ConfigError> {
        let CosineConfig { warmup_epochs, per, first_epoch } = config;
        if !(warmup_epochs >= 0.0 && warmup_epochs < context.epochs as f64) {
            let must =
                format!("it must be at least 0 and less than the {} epochs of the run", context.epochs);
            return Err(ConfigError::field("warmup_epochs", warmup_epochs, must));
        }
        if first_epoch > 1 {
            return Err(ConfigError::field("first_epoch", first_epoch, "it must be 0 or 1"));
        }
        if first_epoch == 1 && per == Per::Step {
            return Err(ConfigError::field("first_epoch", 1, "it must be 0 unless `per` is Epoch"));
        }
        if first_epoch == 0 && per == Per::Epoch && warmup_epochs > 0.0 {
            let must =
                "it must be Step when there is a warm-up, or the first epoch would train with a rate of 0";
            return Err(ConfigError::field("per", "Epoch", must));
        }
        Ok(Self { config })
    }
}

impl Schedule for Cosine {
    fn factor(&self, at: Progress) -> f64 {
        let epochs = at.epochs as f64;
        let done = match self.config.per {
            Per::Step => at.epochs_done(),
            Per::Epoch => (at.epoch + self.config.first_epoch) as f64,
        };
        let warmup = self.config.warmup_epochs;
        if done < warmup {
            return done / warmup;
        }
        let share = ((done - warmup) / (epochs - warmup)).min(1.0);
        0.5 * (1.0 + (PI * share).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(
        warmup_epochs: f64,
        per: Per,
        first_epoch: usize,
        epochs: usize,
    ) -> Result<Cosine, ConfigError> {
        Cosine::new(CosineConfig { warmup_epochs, per, first_epoch }, &ScheduleContext { epochs })
    }

    fn at(epoch: usize, step: usize, epochs: usize) -> Progress {
        Progress { epoch, step, steps_per_epoch: 100, epochs }
    }

    #[track_caller]
    fn assert_near(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
    }

    #[test]
    fn moco_v2_changes_the_rate_once_an_epoch() {
        // PyTorch: 0.03 * 0.5 * (1 + math.cos(math.pi * epoch / 200))
        let cosine = cosine(0.0, Per::Epoch, 0, 200).unwrap();
        for step in [0, 50, 99] {
            assert_near(0.03 * cosine.factor(at(0, step, 200)), 0.03);
            assert_near(0.03 * cosine.factor(at(50, step, 200)), 0.02560660171779821);
            assert_near(0.03 * cosine.factor(at(100, step, 200)), 0.015);
            assert_near(0.03 * cosine.factor(at(199, step, 200)), 1.8505127750911841e-6);
        }
    }

    #[test]
    fn the_cifar_demo_ends_with_an_epoch_at_rate_zero() {
        // PyTorch: 0.06 * 0.5 * (1 + math.cos(math.pi * epoch / 200)) for epoch in range(1, 201)
        let cosine = cosine(0.0, Per::Epoch, 1, 200).unwrap();
        assert_near(0.06 * cosine.factor(at(0, 0, 200)), 0.059996298974449816);
        assert_near(0.06 * cosine.factor(at(1, 0, 200)), 0.05998519681097195);
        assert_near(0.06 * cosine.factor(at(199, 0, 200)), 0.0);
        assert_near(0.06 * cosine.factor(at(199, 99, 200)), 0.0);
    }

    #[test]
    fn moco_v3_warms_up_from_exactly_zero_at_every_step() {
        // PyTorch, e = epoch + i / iters: 2.4e-3 * e / 40 if e < 40,
        // else 2.4e-3 * 0.5 * (1 + math.cos(math.pi * (e - 40) / (300 - 40)))
        let cosine = cosine(40.0, Per::Step, 0, 300).unwrap();
        assert_eq!(cosine.factor(at(0, 0, 300)), 0.0);
        assert_near(2.4e-3 * cosine.factor(at(0, 1, 300)), 6e-7);
        assert_near(2.4e-3 * cosine.factor(at(20, 50, 300)), 1.23e-3);
        assert_near(2.4e-3 * cosine.factor(at(40, 0, 300)), 2.4e-3);
        assert_near(2.4e-3 * cosine.factor(at(170, 0, 300)), 1.2e-3);
        assert_near(cosine.factor(at(299, 99, 300)), 3.6500016342699837e-9);
    }

    #[test]
    fn a_step_wise_cosine_without_warm_up_is_a_function_of_the_done_share() {
        // PyTorch: at = (e + s / steps) / epochs; 0.5 * (1 + math.cos(math.pi * at))
        let cosine = cosine(0.0, Per::Step, 0, 20).unwrap();
        assert_eq!(cosine.factor(at(0, 0, 20)), 1.0);
        assert_near(cosine.factor(at(5, 0, 20)), 0.8535533905932737);
        assert_near(cosine.factor(at(7, 50, 20)), 0.6913417161825449);
        assert_near(cosine.factor(at(20, 0, 20)), 0.0);
    }

    #[test]
    fn a_fraction_of_an_epoch_warms_up_too() {
        let cosine = cosine(0.5, Per::Step, 0, 20).unwrap();
        assert_near(cosine.factor(at(0, 25, 20)), 0.5);
        assert_near(cosine.factor(at(0, 50, 20)), 1.0);
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(cosine(0.0, Per::Epoch, 0, 1).is_ok());
        assert!(cosine(2.0, Per::Epoch, 1, 10).is_ok());
        for (warmup, per, first_epoch, epochs) in [
            (-1.0, Per::Step, 0, 10),
            (f64::NAN, Per::Step, 0, 10),
            (10.0, Per::Step, 0, 10),
            (0.0, Per::Epoch, 2, 10),
            (0.0, Per::Step, 1, 10),
            (2.0, Per::Epoch, 0, 10),
        ] {
            assert!(
                cosine(warmup, per, first_epoch, epochs).is_err(),
                "{warmup} {per:?} {first_epoch} {epochs}"
            );
        }
    }
}
