//! The monitor `lidar`.

use plugin_api::{ConfigError, FeatureExtractor, Level, Metric, Monitor, MonitorError, Outcome};

use crate::labeled::{check_every, is_due, level_name};
use crate::lidar::lidar;
use crate::unlabeled::{NO_IMAGES, check_images, seen};

plugin_api::register! {
    dyn Monitor {
        name: "lidar",
        summary: "effective rank of what tells images apart in all their views; needs no labels",
        source: "Thilak et al. 2023, arXiv:2312.04000",
        example: "(view: \"query\")",
        build: |config: LidarConfig, _context| LidarMonitor::new(config),
    }
}

/// The config of [`LidarMonitor`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LidarConfig {
    /// View that is drawn several times for each image: one that the encoder is trained on.
    pub view: String,
    /// Epochs between measurements. The untrained encoder and the last epoch are always measured.
    #[serde(default = "LidarConfig::default_every")]
    pub every: usize,
    /// Features to use.
    #[serde(default = "LidarConfig::default_level")]
    pub level: Level,
    /// Number of images, 2-4096, spread evenly over the test split, or over the training split without one. The paper: 1000.
    /// The metric is less than this.
    #[serde(default = "LidarConfig::default_images")]
    pub images: usize,
    /// Views of each image, 2-64, all of which are encoded. The paper: 50.
    #[serde(default = "LidarConfig::default_views")]
    pub views: usize,
}

impl LidarConfig {
    fn default_every() -> usize {
        5
    }
    fn default_level() -> Level {
        Level::Backbone
    }
    fn default_images() -> usize {
        256
    }
    fn default_views() -> usize {
        8
    }
}

/// Measures `lidar`: see [`lidar`].
#[derive(Debug, Clone)]
pub struct LidarMonitor {
    config: LidarConfig,
}

impl LidarMonitor {
    /// The monitor for `config`.
    ///
    /// # Errors
    /// If `every` is 0, or `images` or `views` is out of range.
    pub fn new(config: LidarConfig) -> Result<Self, ConfigError> {
        check_every(config.every)?;
        check_images(config.images)?;
        if !(2..=64).contains(&config.views) {
            return Err(ConfigError::field("views", config.views, "it must be in 2-64"));
        }
        Ok(Self { config })
    }
}

impl Monitor for LidarMonitor {
    fn metrics(&self) -> &[&'static str] {
        &["lidar"]
    }

    fn views(&self) -> Vec<&str> {
        vec![&self.config.view]
    }

    fn is_due(&self, epochs_done: usize, epochs: usize) -> bool {
        is_due(self.config.every, epochs_done, epochs)
    }

    fn measure(&mut self, features: &mut dyn FeatureExtractor) -> Result<Outcome, MonitorError> {
        let LidarConfig { view, level, images, views, .. } = &self.config;
        let Some(seen) = seen(features, (view, *level), (*images, *views))? else {
            return Ok(Outcome::Off { reason: NO_IMAGES.into() });
        };
        let (n, d) = (seen.n(), seen.views[0].d);
        let rows: Vec<&[f32]> = seen.views.iter().map(|view| view.rows.as_slice()).collect();
        let value = lidar(&rows, d);
        if !value.is_finite() {
            let reason =
                "the scatter of the views has no inverse in double precision: the features are too large";
            return Ok(Outcome::Off { reason: reason.into() });
        }
        Ok(Outcome::Measured(vec![Metric {
            name: "lidar".into(),
            value,
            is_share: false,
            more_is_better: true,
            protocol: format!(
                "{}, {n} {} images, {views} draws of view `{view}`; 1 is the least, {} the most",
                level_name(*level),
                seen.split,
                d.min(n - 1)
            ),
        }]))
    }
}
