//! The monitor `knn`.

use plugin_api::{
    ConfigError, DatasetConfig, FeatureExtractor, Level, Metric, Monitor, MonitorContext, MonitorError,
    Outcome, OwnDataset, check_temperature,
};

use crate::knn::knn_while;
use crate::labeled::{Labeled, Wanted, check_every, is_due, labeled, level_name, own_dataset};

plugin_api::register! {
    dyn Monitor {
        name: "knn",
        summary: "top-1 accuracy of a kNN classifier on the features; needs labels",
        source: "Wu et al. 2018, arXiv:1805.01978",
        example: "(every: 5, k: 200)",
        build: |config: KnnConfig, context| KnnMonitor::new(config, context),
    }
}

/// The config of [`KnnMonitor`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnnConfig {
    /// Epochs between measurements. The untrained encoder and the last epoch are always measured.
    #[serde(default = "KnnConfig::default_every")]
    pub every: usize,
    /// Number of neighbors; all training images if there are fewer. Wu et al. 2018: 200.
    #[serde(default = "KnnConfig::default_k")]
    pub k: usize,
    /// Temperature T, 0.001 to 1000, of a vote's weight exp(similarity / T). The MoCo CIFAR-10 demo: 0.1; Wu et al. 2018: 0.07.
    #[serde(default = "KnnConfig::default_temperature")]
    pub temperature: f64,
    /// View that images are passed through. It should have no random steps, so that metrics are comparable.
    #[serde(default = "KnnConfig::default_view")]
    pub view: String,
    /// Features to use. The MoCo CIFAR-10 demo measures `Head`.
    #[serde(default = "KnnConfig::default_level")]
    pub level: Level,
    /// Labeled images to measure on in place of the run's: a dataset plugin, `("class-folders", (root: "labeled"))`. Metrics
    /// name it.
    #[serde(default)]
    pub source: Option<DatasetConfig>,
}

impl KnnConfig {
    fn default_every() -> usize {
        5
    }
    fn default_k() -> usize {
        200
    }
    fn default_temperature() -> f64 {
        0.1
    }
    fn default_view() -> String {
        "eval".into()
    }
    fn default_level() -> Level {
        Level::Backbone
    }
}

/// Measures `knn_top1` on the test split, with the training split as the bank.
#[derive(Debug, Clone)]
pub struct KnnMonitor {
    config: KnnConfig,
    /// What it measures on in place of the run's images.
    dataset: Option<OwnDataset>,
}

impl KnnMonitor {
    /// The monitor for `config`.
    ///
    /// # Errors
    /// If `every` or `k` is 0, or the temperature is far from usual, or its dataset cannot be built.
    pub fn new(config: KnnConfig, context: &MonitorContext) -> Result<Self, ConfigError> {
        check_every(config.every)?;
        if config.k == 0 {
            return Err(ConfigError::field("k", config.k, "it must be at least 1"));
        }
        check_temperature(config.temperature)?;
        let dataset = own_dataset(config.source.as_ref(), context)?;
        Ok(Self { config, dataset })
    }
}

impl Monitor for KnnMonitor {
    fn metrics(&self) -> &[&'static str] {
        &["knn_top1"]
    }

    fn views(&self) -> Vec<&str> {
        vec![&self.config.view]
    }

    fn dataset(&self) -> Option<&OwnDataset> {
        self.dataset.as_ref()
    }

    fn is_due(&self, epochs_done: usize, epochs: usize) -> bool {
        is_due(self.config.every, epochs_done, epochs)
    }

    fn measure(&mut self, features: &mut dyn FeatureExtractor) -> Result<Outcome, MonitorError> {
        let KnnConfig { k, temperature, view, level, .. } = &self.config;
        let Labeled { train: bank, test } = match labeled(features, view, *level)? {
            Ok(features) => features,
            Err(reason) => return Ok(Outcome::Off { reason: reason.into() }),
        };
        let mut wanted = Wanted::new(features, view, *level);
        let score = knn_while(&bank, &test, *k, *temperature, &mut |_| wanted.still())
            .map_err(|error| MonitorError::Measurement(error.into()))?;
        let score = wanted.end(score)?;
        Ok(Outcome::Measured(vec![Metric {
            name: "knn_top1".into(),
            value: score.top1,
            is_share: true,
            more_is_better: true,
            protocol: format!(
                "{}, k {}, T {temperature}, {} test images against {} train images, view `{view}`",
                level_name(*level),
                score.k,
                test.n,
                bank.n,
            ),
        }]))
    }
}
