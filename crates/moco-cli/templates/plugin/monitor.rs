//! The monitor `__name__`.
__crate_attributes__
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{
    ConfigError, Embed, FeatureExtractor, Level, Metric, Monitor, MonitorError, Outcome, Split,
};

plugin_api::register! {
    dyn Monitor {
        name: "__name__",
        summary: "mean of all features",
        source: "",
        example: "(every: 1)",
        build: |config: __Name__Config, _context| __Name__::new(config),
    }
}

/// What the metric is called in `metrics.jsonl`.
const METRIC: &str = "__ident___mean";

/// The config of [`__Name__`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct __Name__Config {
    /// Epochs between measurements, at least 1. The untrained encoder and the last epoch are always measured.
    pub every: usize,
    /// View that images are passed through. It should have no random steps.
    pub view: String,
}

impl Default for __Name__Config {
    fn default() -> Self {
        Self { every: 5, view: "eval".into() }
    }
}

/// The mean of the features of all test images, or of the training images where there are none.
#[derive(Debug, Clone)]
pub struct __Name__ {
    config: __Name__Config,
}

impl __Name__ {
    /// The monitor for `config`.
    ///
    /// # Errors
    /// If `every` is 0.
    pub fn new(config: __Name__Config) -> Result<Self, ConfigError> {
        if config.every == 0 {
            return Err(ConfigError::field("every", config.every, "it must be at least 1"));
        }
        Ok(Self { config })
    }
}

impl Monitor for __Name__ {
    fn views(&self) -> Vec<&str> {
        vec![&self.config.view]
    }

    fn metrics(&self) -> &[&'static str] {
        &[METRIC]
    }

    fn is_due(&self, epochs_done: usize, epochs: usize) -> bool {
        epochs_done.is_multiple_of(self.config.every) || epochs_done == epochs
    }

    fn measure(&mut self, encoder: &mut dyn FeatureExtractor) -> Result<Outcome, MonitorError> {
        for (name, split) in [("test", Split::Test), ("training", Split::Train)] {
            let request = Embed { split, view: &self.config.view, level: Level::Backbone };
            let Some(features) = encoder.embed(request)?.filter(|features| features.n > 0) else { continue };
            let sum: f64 = features.rows.iter().map(|value| f64::from(*value)).sum();
            return Ok(Outcome::Measured(vec![Metric {
                name: METRIC.into(),
                value: sum / features.rows.len() as f64,
                is_share: false,
                more_is_better: true,
                protocol: format!(
                    "backbone features, {} {name} images, view `{}`",
                    features.n, self.config.view
                ),
            }]));
        }
        Ok(Outcome::Off { reason: "there are no images to measure on".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_kept() {
        plugin_tests::check_monitor("__name__");
        plugin_tests::check_monitor_with("__name__", "(every: 3)");
    }

    #[test]
    fn the_last_epoch_is_measured() {
        let monitor = __Name__::new(__Name__Config { every: 4, ..__Name__Config::default() }).unwrap();
        assert_eq!([0, 3, 4, 10].map(|epoch| monitor.is_due(epoch, 10)), [true, false, true, true]);
    }

    #[test]
    fn never_is_refused() {
        assert!(__Name__::new(__Name__Config { every: 0, ..__Name__Config::default() }).is_err());
    }
}
