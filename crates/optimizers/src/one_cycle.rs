//! One rise and one fall.

use std::f64::consts::PI;

use plugin_api::{ConfigError, Progress, Schedule, ScheduleContext};

/// The config of [`OneCycle`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneCycleConfig {
    /// Share of the run's steps in which the learning rate rises, above 0 and below 1. PyTorch (`pct_start`): 0.3.
    #[serde(default = "OneCycleConfig::pytorch_rise")]
    pub rise: f64,
    /// Factor of the first step, from 0 to 1. PyTorch (1 / `div_factor`): 0.04.
    #[serde(default = "OneCycleConfig::pytorch_start")]
    pub start: f64,
    /// Factor of the last step, from 0 to 1. PyTorch (`start` / `final_div_factor`): 4e-6.
    #[serde(default = "OneCycleConfig::pytorch_end")]
    pub end: f64,
}

impl OneCycleConfig {
    fn pytorch_rise() -> f64 {
        0.3
    }

    fn pytorch_start() -> f64 {
        0.04
    }

    fn pytorch_end() -> f64 {
        4e-6
    }
}

/// From `start` to 1 by half a cosine, and from 1 to `end` by another, at every step: torch.optim.lr_scheduler.OneCycleLR in two
/// phases (Smith & Topin 2018, arXiv:1708.07120, whose own rise and fall are straight). The pipeline's learning rate is the
/// highest.
///
/// The momentum stays as the optimizer has it; a ramp by this schedule changes it against the rate, as PyTorch does.
#[derive(Debug, Clone)]
pub struct OneCycle {
    config: OneCycleConfig,
}

impl OneCycle {
    /// The schedule for `config`.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn new(config: OneCycleConfig, _context: &ScheduleContext) -> Result<Self, ConfigError> {
        let OneCycleConfig { rise, start, end } = config;
        if !(rise > 0.0 && rise < 1.0) {
            return Err(ConfigError::field("rise", rise, "it must be above 0 and below 1"));
        }
        for (field, factor) in [("start", start), ("end", end)] {
            if !(0.0..=1.0).contains(&factor) {
                return Err(ConfigError::field(field, factor, "it must be from 0 to 1"));
            }
        }
        Ok(Self { config })
    }
}

impl Schedule for OneCycle {
    fn factor(&self, at: Progress) -> f64 {
        let OneCycleConfig { rise, start, end } = self.config;
        let n_steps = (at.epochs * at.steps_per_epoch) as f64;
        let done = (at.epoch * at.steps_per_epoch + at.step) as f64;
        // The first step is number 0, and the highest the last of the rise: as PyTorch counts.
        let (highest, last) = (rise * n_steps - 1.0, n_steps - 1.0);
        let between = |from: f64, to: f64, share: f64| to + (from - to) / 2.0 * (1.0 + (PI * share).cos());
        if done < highest {
            between(start, 1.0, done / highest)
        } else {
            between(1.0, end, ((done - highest) / (last - highest)).min(1.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_cycle(rise: f64, start: f64, end: f64) -> Result<OneCycle, ConfigError> {
        OneCycle::new(OneCycleConfig { rise, start, end }, &ScheduleContext { epochs: 20 })
    }

    #[track_caller]
    fn assert_near(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
    }

    fn at(step: usize, n_steps: usize) -> Progress {
        Progress { epoch: step / 5, step: step % 5, steps_per_epoch: 5, epochs: n_steps / 5 }
    }

    #[test]
    fn the_rate_is_that_of_pytorch() {
        // s = torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=200), whose definition is
        // cos = lambda a, b, t: b + (a - b) / 2 * (math.cos(math.pi * t) + 1); up = 0.3 * 200 - 1; down = 200 - 1 - up
        // cos(1 / 25, 1, s / up) if s <= up else cos(1, 1 / 25 / 1e4, (s - up) / down)
        let config = plugin_api::Config::new("()");
        let context = ScheduleContext { epochs: 40 };
        let one_cycle = plugin_api::build::<dyn Schedule>("one-cycle", config, &context).unwrap();
        for (step, expected) in [
            (0, 0.04),
            (1, 0.0406803060751544),
            (30, 0.532777850290132),
            (59, 1.0),
            (60, 0.999874117974783),
            (130, 0.488783012728226),
            (198, 0.00012988202521662),
            (199, 4e-06),
        ] {
            assert_near(one_cycle.factor(at(step, 200)), expected);
        }
        // A run that has ended.
        assert_near(one_cycle.factor(at(200, 200)), 4e-6);
    }

    #[test]
    fn a_short_run_rises_and_falls() {
        // as above, with total_steps=10, pct_start=0.25, div_factor=10, final_div_factor=100
        let one_cycle = one_cycle(0.25, 0.1, 1e-3).unwrap();
        for (step, expected) in [
            0.1,
            0.775,
            0.989084726566536,
            0.904603988690286,
            0.75025,
            0.552711967402193,
            0.346146011309714,
            0.16626926212375,
            0.0441840439075208,
            0.001,
        ]
        .into_iter()
        .enumerate()
        {
            assert_near(one_cycle.factor(at(step, 10)), expected);
        }
        // Not long enough to rise.
        let only = Progress { epoch: 0, step: 0, steps_per_epoch: 1, epochs: 1 };
        assert_near(one_cycle.factor(only), 1e-3);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert!(one_cycle(0.5, 0.0, 1.0).is_ok());
        let error = one_cycle(1.0, 0.04, 0.0).unwrap_err().to_string();
        assert_eq!(error, "`rise` is 1, but it must be above 0 and below 1");
        for (rise, start, end) in
            [(0.0, 0.1, 0.1), (f64::NAN, 0.1, 0.1), (0.3, -0.1, 0.1), (0.3, 1.1, 0.1), (0.3, 0.1, f64::NAN)]
        {
            assert!(one_cycle(rise, start, end).is_err(), "{rise} {start} {end}");
        }
    }
}
