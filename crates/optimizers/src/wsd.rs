//! Warm-up, a stable rate, and a decay at the end.

use plugin_api::{ConfigError, Progress, Schedule, ScheduleContext};

/// The config of [`Wsd`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WsdConfig {
    /// Epochs of linear warm-up from exactly 0; may be a fraction. Default: 0.
    #[serde(default = "WsdConfig::no_warmup_epochs")]
    pub warmup_epochs: f64,
    /// Share of the run, at its end, in which the learning rate falls, above 0 and at most 1. WSD's paper: 0.1.
    #[serde(default = "WsdConfig::paper_decay")]
    pub decay: f64,
    /// How it falls. Default: Linear, as most have it since.
    #[serde(default = "WsdConfig::usual_shape")]
    pub shape: Fall,
    /// Factor at the end, from 0 to 1; Exponential needs more than 0. Default: 0.
    #[serde(default = "WsdConfig::usual_end")]
    pub end: f64,
}

impl WsdConfig {
    fn no_warmup_epochs() -> f64 {
        0.0
    }

    fn paper_decay() -> f64 {
        0.1
    }

    fn usual_shape() -> Fall {
        Fall::Linear
    }

    fn usual_end() -> f64 {
        0.0
    }
}

/// How the learning rate falls from 1 to `end`, where `s` from 0 to 1 is the done share of the fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
pub enum Fall {
    /// `1 − (1 − end) s`.
    Linear,
    /// `1 − (1 − end) √s`: fast first (Hägele et al. 2024, arXiv:2405.18392).
    OneMinusSqrt,
    /// `end ^ s`: by one factor at each step, as in WSD's paper.
    Exponential,
}

/// `e / W` for the first `W` epochs, then 1, and in the last share of the run a fall, at every step
/// (Hu et al. 2024, arXiv:2404.06395, §4).
///
/// A run can go on from before its fall, for longer than it was meant to be: until there, the rate does not depend on the
/// number of epochs.
#[derive(Debug, Clone)]
pub struct Wsd {
    config: WsdConfig,
}

impl Wsd {
    /// The schedule for `config`.
    ///
    /// # Errors
    /// If a number is out of range, or warm-up and fall are longer than the run.
    pub fn new(config: WsdConfig, context: &ScheduleContext) -> Result<Self, ConfigError> {
        let WsdConfig { warmup_epochs, decay, shape, end } = config;
        if !(decay > 0.0 && decay <= 1.0) {
            return Err(ConfigError::field("decay", decay, "it must be above 0 and at most 1"));
        }
        let before = (1.0 - decay) * context.epochs as f64;
        if !(warmup_epochs >= 0.0 && warmup_epochs <= before) {
            let must = format!("it must be at least 0 and at most {before}, the epochs before the fall");
            return Err(ConfigError::field("warmup_epochs", warmup_epochs, must));
        }
        if !(0.0..=1.0).contains(&end) {
            return Err(ConfigError::field("end", end, "it must be from 0 to 1"));
        }
        if shape == Fall::Exponential && end == 0.0 {
            return Err(ConfigError::field(
                "end",
                end,
                "it must be more than 0 where `shape` is Exponential",
            ));
        }
        Ok(Self { config })
    }
}

impl Schedule for Wsd {
    fn factor(&self, at: Progress) -> f64 {
        let WsdConfig { warmup_epochs, decay, shape, end } = self.config;
        let (done, epochs) = (at.epochs_done(), at.epochs as f64);
        if done < warmup_epochs {
            return done / warmup_epochs;
        }
        let fall = decay * epochs;
        let share = ((done - (epochs - fall)) / fall).clamp(0.0, 1.0);
        match shape {
            Fall::Linear => 1.0 - (1.0 - end) * share,
            Fall::OneMinusSqrt => 1.0 - (1.0 - end) * share.sqrt(),
            Fall::Exponential => end.powf(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wsd(warmup_epochs: f64, decay: f64, shape: Fall, end: f64) -> Result<Wsd, ConfigError> {
        Wsd::new(WsdConfig { warmup_epochs, decay, shape, end }, &ScheduleContext { epochs: 100 })
    }

    fn factor(wsd: &Wsd, epoch: usize, step: usize) -> f64 {
        wsd.factor(Progress { epoch, step, steps_per_epoch: 50, epochs: 100 })
    }

    #[track_caller]
    fn assert_near(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
    }

    #[test]
    fn the_rate_rises_stays_and_falls() {
        let wsd = wsd(4.0, 0.2, Fall::Linear, 0.0).unwrap();
        assert_eq!(factor(&wsd, 0, 0), 0.0);
        for (epoch, step, expected) in
            [(1, 25, 0.375), (4, 0, 1.0), (50, 7, 1.0), (80, 0, 1.0), (85, 0, 0.75), (99, 25, 0.025)]
        {
            assert_near(factor(&wsd, epoch, step), expected);
        }
        assert_near(factor(&wsd, 100, 0), 0.0);
    }

    #[test]
    fn each_fall_has_its_shape_and_its_end() {
        for (shape, at_a_quarter) in [
            (Fall::Linear, 1.0 - 0.99 * 0.25),
            (Fall::OneMinusSqrt, 1.0 - 0.99 * 0.5),
            (Fall::Exponential, 10.0_f64.powf(-0.5)),
        ] {
            let wsd = wsd(0.0, 0.2, shape, 0.01).unwrap();
            assert_near(factor(&wsd, 80, 0), 1.0);
            assert_near(factor(&wsd, 85, 0), at_a_quarter);
            assert_near(factor(&wsd, 100, 0), 0.01);
        }
    }

    #[test]
    fn before_the_fall_the_rate_does_not_depend_on_the_length_of_the_run() {
        let wsd = wsd(4.0, 0.1, Fall::Linear, 0.0).unwrap();
        let longer = |epoch| wsd.factor(Progress { epoch, step: 3, steps_per_epoch: 50, epochs: 300 });
        for epoch in [0, 3, 4, 60, 89] {
            assert_eq!(factor(&wsd, epoch, 3), longer(epoch));
        }
        assert_ne!(factor(&wsd, 95, 3), longer(95));
    }

    #[test]
    fn what_does_not_fit_in_the_run_is_refused() {
        assert!(wsd(0.0, 1.0, Fall::Linear, 1.0).is_ok());
        assert!(wsd(80.0, 0.2, Fall::Linear, 0.0).is_ok());
        let error = wsd(81.0, 0.2, Fall::Linear, 0.0).unwrap_err().to_string();
        assert_eq!(
            error,
            "`warmup_epochs` is 81, but it must be at least 0 and at most 80, the epochs before the fall"
        );
        for (warmup_epochs, decay, shape, end) in [
            (-1.0, 0.1, Fall::Linear, 0.0),
            (f64::NAN, 0.1, Fall::Linear, 0.0),
            (0.0, 0.0, Fall::Linear, 0.0),
            (0.0, 1.1, Fall::Linear, 0.0),
            (0.0, f64::NAN, Fall::Linear, 0.0),
            (0.0, 0.1, Fall::Linear, -0.1),
            (0.0, 0.1, Fall::Linear, 1.1),
            (0.0, 0.1, Fall::Exponential, 0.0),
        ] {
            assert!(
                wsd(warmup_epochs, decay, shape, end).is_err(),
                "{warmup_epochs} {decay} {shape:?} {end}"
            );
        }
    }
}
