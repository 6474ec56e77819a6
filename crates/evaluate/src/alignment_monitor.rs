//! The monitor `alignment-uniformity`.

use plugin_api::{ConfigError, FeatureExtractor, Level, Metric, Monitor, MonitorError, Outcome};

use crate::alignment::{alignment, uniformity};
use crate::labeled::{check_every, is_due, level_name};
use crate::unlabeled::{NO_IMAGES, check_images, seen};

plugin_api::register! {
    dyn Monitor {
        name: "alignment-uniformity",
        summary: "how near two views of an image lie, and how evenly images lie on the sphere; needs no labels",
        source: "Wang and Isola 2020, arXiv:2005.10242",
        example: "(view: \"query\")",
        build: |config: AlignmentConfig, _context| AlignmentMonitor::new(config),
    }
}

/// The config of [`AlignmentMonitor`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlignmentConfig {
    /// View that is drawn twice for each image: one that the encoder is trained on.
    pub view: String,
    /// Epochs between measurements. The untrained encoder and the last epoch are always measured.
    #[serde(default = "AlignmentConfig::default_every")]
    pub every: usize,
    /// Features to use. The loss is on those of the `Head`.
    #[serde(default = "AlignmentConfig::default_level")]
    pub level: Level,
    /// Number of images, 2-4096, spread evenly over the test split, or over the training split without one. Two views of each
    /// are encoded.
    #[serde(default = "AlignmentConfig::default_images")]
    pub images: usize,
}

impl AlignmentConfig {
    fn default_every() -> usize {
        5
    }
    fn default_level() -> Level {
        Level::Head
    }
    fn default_images() -> usize {
        512
    }
}

/// Measures `alignment` (see [`alignment`]) and `uniformity` (see [`uniformity`]), the latter as the mean over both views.
#[derive(Debug, Clone)]
pub struct AlignmentMonitor {
    config: AlignmentConfig,
}

impl AlignmentMonitor {
    /// The monitor for `config`.
    ///
    /// # Errors
    /// If `every` is 0, or `images` is out of range.
    pub fn new(config: AlignmentConfig) -> Result<Self, ConfigError> {
        check_every(config.every)?;
        check_images(config.images)?;
        Ok(Self { config })
    }
}

impl Monitor for AlignmentMonitor {
    fn metrics(&self) -> &[&'static str] {
        &["alignment", "uniformity"]
    }

    fn views(&self) -> Vec<&str> {
        vec![&self.config.view]
    }

    fn is_due(&self, epochs_done: usize, epochs: usize) -> bool {
        is_due(self.config.every, epochs_done, epochs)
    }

    fn measure(&mut self, features: &mut dyn FeatureExtractor) -> Result<Outcome, MonitorError> {
        let AlignmentConfig { view, level, images, .. } = &self.config;
        let Some(seen) = seen(features, (view, *level), (*images, 2))? else {
            return Ok(Outcome::Off { reason: NO_IMAGES.into() });
        };
        let [x, y] = [0, 1].map(|i| &seen.views[i]);
        let measured = |name: &str, value: f64, range: &str| Metric {
            name: name.into(),
            value,
            is_share: false,
            more_is_better: false,
            protocol: format!(
                "{}, {} {} images, two draws of view `{view}`; {range}",
                level_name(*level),
                seen.n(),
                seen.split
            ),
        };
        let of_both = (uniformity(&x.rows, x.d) + uniformity(&y.rows, y.d)) / 2.0;
        Ok(Outcome::Measured(vec![
            measured("alignment", alignment(&x.rows, &y.rows, x.d), "α 2, 0 is the same, 2 at right angles"),
            measured("uniformity", of_both, "t 2, 0 is collapsed, about -4 evenly spread"),
        ]))
    }
}
