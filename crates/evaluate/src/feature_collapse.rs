//! The monitor `feature-collapse`.

use std::sync::Arc;

use plugin_api::{
    ConfigError, Embed, Embedding, FeatureExtractor, Level, Metric, Monitor, MonitorError, Outcome, Split,
};

use crate::collapse::{effective_rank, feature_std};
use crate::labeled::{check_every, is_due, level_name};

plugin_api::register! {
    dyn Monitor {
        name: "feature-collapse",
        summary: "detects collapse: spread and effective rank (RankMe) of the features; needs no labels",
        source: "Chen and He 2021, arXiv:2011.10566; Garrido et al. 2023, arXiv:2210.02885",
        example: "(every: 1)",
        build: |config: FeatureCollapseConfig, _context| FeatureCollapse::new(config),
    }
}

/// The config of [`FeatureCollapse`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureCollapseConfig {
    /// Epochs between measurements. The untrained encoder and the last epoch are always measured.
    #[serde(default = "FeatureCollapseConfig::default_every")]
    pub every: usize,
    /// View that images are passed through. It should have no random steps.
    #[serde(default = "FeatureCollapseConfig::default_view")]
    pub view: String,
    /// Features to use.
    #[serde(default = "FeatureCollapseConfig::default_level")]
    pub level: Level,
    /// Number of images, 2-4096, spread evenly over the test split, or over the training split without one. The
    /// effective rank is at most this.
    #[serde(default = "FeatureCollapseConfig::default_images")]
    pub images: usize,
}

impl FeatureCollapseConfig {
    fn default_every() -> usize {
        5
    }
    fn default_view() -> String {
        "eval".into()
    }
    fn default_level() -> Level {
        Level::Backbone
    }
    fn default_images() -> usize {
        512
    }
}

/// Measures `feature_std` (see [`feature_std`]) and `effective_rank` (see [`effective_rank`]).
#[derive(Debug, Clone)]
pub struct FeatureCollapse {
    config: FeatureCollapseConfig,
}

impl FeatureCollapse {
    /// The monitor for `config`.
    ///
    /// # Errors
    /// If `every` is 0, or `images` is out of range.
    pub fn new(config: FeatureCollapseConfig) -> Result<Self, ConfigError> {
        check_every(config.every)?;
        if !(2..=4096).contains(&config.images) {
            return Err(ConfigError::field("images", config.images, "it must be in 2-4096"));
        }
        Ok(Self { config })
    }

    /// Features of the first split that has any.
    fn embed(
        &self,
        features: &mut dyn FeatureExtractor,
    ) -> Result<Option<(&'static str, Arc<Embedding>)>, MonitorError> {
        for (name, split) in [("test", Split::Test), ("train", Split::Train)] {
            let request = Embed { split, view: &self.config.view, level: self.config.level };
            if let Some(embedding) = features.embed(request)?.filter(|embedding| embedding.n > 0) {
                return Ok(Some((name, embedding)));
            }
        }
        Ok(None)
    }
}

impl Monitor for FeatureCollapse {
    fn metrics(&self) -> &[&'static str] {
        &["feature_std", "effective_rank"]
    }

    fn views(&self) -> Vec<&str> {
        vec![&self.config.view]
    }

    fn is_due(&self, epochs_done: usize, epochs: usize) -> bool {
        is_due(self.config.every, epochs_done, epochs)
    }

    fn measure(&mut self, features: &mut dyn FeatureExtractor) -> Result<Outcome, MonitorError> {
        let Some((split, embedding)) = self.embed(features)? else {
            return Ok(Outcome::Off { reason: "there are no images to measure on".into() });
        };
        if embedding.rows.iter().any(|value| !value.is_finite()) {
            return Err(MonitorError::NotFinite);
        }
        let d = embedding.d;
        let rows = spread_evenly(&embedding, self.config.images);
        let n = rows.len() / d;
        let FeatureCollapseConfig { view, level, .. } = &self.config;
        let measured = |name: &str, value: f64, range: &str| Metric {
            name: name.into(),
            value,
            is_share: false,
            more_is_better: true,
            protocol: format!("{}, {n} {split} images, view `{view}`; {range}", level_name(*level)),
        };
        Ok(Outcome::Measured(vec![
            measured("feature_std", feature_std(&rows, d), "0 is collapsed, 1 is evenly spread"),
            measured(
                "effective_rank",
                effective_rank(&rows, d),
                &format!("1 is collapsed, {} is the most", n.min(d)),
            ),
        ]))
    }
}

/// Up to `n` rows, evenly spaced, because the first ones may all be of one class.
fn spread_evenly(embedding: &Embedding, n: usize) -> Vec<f32> {
    let n = n.min(embedding.n);
    let d = embedding.d;
    (0..n)
        .map(|i| i * embedding.n / n)
        .flat_map(|row| &embedding.rows[row * d..(row + 1) * d])
        .copied()
        .collect()
}
