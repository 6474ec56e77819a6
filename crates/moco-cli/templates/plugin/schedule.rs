//! The schedule `__name__`.
__crate_attributes__
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{ConfigError, Progress, Schedule};

plugin_api::register! {
    dyn Schedule {
        name: "__name__",
        summary: "a straight line from 1 to a last factor",
        source: "",
        example: "(end: 0.0)",
        build: |config: __Name__Config, _context| __Name__::new(config),
    }
}

/// The config of [`__Name__`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct __Name__Config {
    /// The factor at the end of the run, from 0 to 1.
    pub end: f64,
}

impl Default for __Name__Config {
    fn default() -> Self {
        Self { end: 0.0 }
    }
}

/// `1 + (end − 1) t`, where `t` is the done share of the run; it changes with each step.
#[derive(Debug, Clone)]
pub struct __Name__ {
    end: f64,
}

impl __Name__ {
    /// The schedule for `config`.
    ///
    /// # Errors
    /// If the last factor is not from 0 to 1.
    pub fn new(config: __Name__Config) -> Result<Self, ConfigError> {
        if !(0.0..=1.0).contains(&config.end) {
            return Err(ConfigError::field("end", config.end, "it must be from 0 to 1"));
        }
        Ok(Self { end: config.end })
    }
}

impl Schedule for __Name__ {
    fn factor(&self, at: Progress) -> f64 {
        1.0 + (self.end - 1.0) * at.share()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_kept() {
        plugin_tests::check_schedule("__name__");
        plugin_tests::check_schedule_with("__name__", "(end: 0.5)");
    }

    #[test]
    fn half_of_the_way_is_half_of_the_fall() {
        let schedule = __Name__::new(__Name__Config { end: 0.5 }).unwrap();
        assert_eq!(schedule.factor(Progress { epoch: 1, step: 0, steps_per_epoch: 4, epochs: 2 }), 0.75);
    }

    #[test]
    fn a_negative_factor_is_refused() {
        assert!(__Name__::new(__Name__Config { end: -1.0 }).is_err());
    }
}
