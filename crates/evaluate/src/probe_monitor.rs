//! The monitor `linear-probe`.

use std::ops::ControlFlow;

use plugin_api::{
    ConfigError, DatasetConfig, Embedding, FeatureExtractor, Level, Metric, Monitor, MonitorContext,
    MonitorError, Outcome, OwnDataset, Rng, counted,
};

use crate::labeled::{Labeled, Wanted, check_every, is_due, labeled, level_name, own_dataset};
use crate::linear::{Decay, ProbeError, ProbeProtocol, train_cached_while};

plugin_api::register! {
    dyn Monitor {
        name: "linear-probe",
        summary: "top-1 accuracy of a linear classifier on the features; needs labels",
        source: "He et al. 2020, arXiv:1911.05722, §4.1, with cached features and no augmentation",
        example: "(every: 10, epochs: 20)",
        build: |config: LinearProbeConfig, context| LinearProbeMonitor::new(config, context),
    }
}

/// One in this many training images is held out to choose the learning rate.
const HELD_OUT: usize = 10;

/// The seed of all draws of the monitor. It is fixed, so that metrics of different runs are comparable.
const SEED: u64 = 0;

/// The config of [`LinearProbeMonitor`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinearProbeConfig {
    /// Epochs between measurements. The untrained encoder and the last epoch are always measured.
    #[serde(default = "LinearProbeConfig::default_every")]
    pub every: usize,
    /// View that images are passed through. It should have no random steps; with the view of `knn`, the two share
    /// features.
    #[serde(default = "LinearProbeConfig::default_view")]
    pub view: String,
    /// Features to use.
    #[serde(default = "LinearProbeConfig::default_level")]
    pub level: Level,
    /// Labeled images to measure on in place of the run's: a dataset plugin, `("class-folders", (root: "labeled"))`. Metrics
    /// name it.
    #[serde(default)]
    pub source: Option<DatasetConfig>,
    /// Epochs to train on the cached features.
    #[serde(default = "LinearProbeConfig::default_epochs")]
    pub epochs: usize,
    /// Batch size.
    #[serde(default = "LinearProbeConfig::default_batch")]
    pub batch: usize,
    /// Base learning rates (per 256 images) to try. The best one on a held-out tenth of the training images is used.
    #[serde(default = "LinearProbeConfig::default_learning_rates")]
    pub learning_rates: Vec<f64>,
}

impl LinearProbeConfig {
    fn default_every() -> usize {
        10
    }
    fn default_view() -> String {
        "eval".into()
    }
    fn default_level() -> Level {
        Level::Backbone
    }
    fn default_epochs() -> usize {
        20
    }
    fn default_batch() -> usize {
        256
    }
    fn default_learning_rates() -> Vec<f64> {
        vec![0.03, 0.3, 3.0, 30.0]
    }
}

/// Measures `probe_top1` on the test split. Each measurement trains a new linear classifier on the features of the
/// training split. The encoder does not change, so it learns nothing from labels.
#[derive(Debug, Clone)]
pub struct LinearProbeMonitor {
    config: LinearProbeConfig,
    /// What it measures on in place of the run's images.
    dataset: Option<OwnDataset>,
}

impl LinearProbeMonitor {
    /// The monitor for `config`.
    ///
    /// # Errors
    /// If a number is 0, or a learning rate is not positive, or its dataset cannot be built.
    pub fn new(config: LinearProbeConfig, context: &MonitorContext) -> Result<Self, ConfigError> {
        check_every(config.every)?;
        for (field, value) in [("epochs", config.epochs), ("batch", config.batch)] {
            if value == 0 {
                return Err(ConfigError::field(field, value, "it must be at least 1"));
            }
        }
        let rates = &config.learning_rates;
        if rates.is_empty() || !rates.iter().all(|rate| *rate > 0.0 && rate.is_finite()) {
            let must = "it must be a list of positive numbers, such as `[0.3, 3]`";
            return Err(ConfigError::field("learning_rates", format!("{rates:?}"), must));
        }
        let dataset = own_dataset(config.source.as_ref(), context)?;
        Ok(Self { config, dataset })
    }

    /// The metric, from features of both splits; `None` if `watch` has stopped it.
    fn metric(
        &self,
        train: &Embedding,
        test: &Embedding,
        watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Metric>, ProbeError> {
        let LinearProbeConfig { view, level, epochs, batch, learning_rates, .. } = &self.config;
        let (kept, held_out) = held_out(train);
        let mut base_lrs = learning_rates.clone();
        // The smaller one wins ties.
        base_lrs.sort_by(f64::total_cmp);
        let protocol = ProbeProtocol { base_lrs, batch: *batch, epochs: *epochs, decay: Decay::Cosine };
        let Some(trained) = train_cached_while(&kept, &protocol, SEED, watch)? else { return Ok(None) };
        let top1 = |of: &Embedding| -> Result<Vec<f64>, ProbeError> {
            let scores = trained.probe.score(of)?;
            Ok(scores.iter().map(|score| if score.is_finite { score.top1() } else { 0.0 }).collect())
        };
        let by_held_out = top1(&held_out)?;
        let best = (0..by_held_out.len())
            .reduce(|best, other| if by_held_out[other] > by_held_out[best] { other } else { best })
            .unwrap_or(0);
        Ok(Some(Metric {
            name: "probe_top1".into(),
            value: top1(test)?[best],
            is_share: true,
            more_is_better: true,
            protocol: format!(
                "{}, linear classifier, cached features without augmentation, {}, batch {batch}, learning rate \
                 chosen of {} on {} held-out train images, {} test images against {} train images, view `{view}`",
                level_name(*level),
                counted(*epochs, "epoch"),
                protocol.base_lrs.len(),
                held_out.n,
                test.n,
                kept.n,
            ),
        }))
    }
}

impl Monitor for LinearProbeMonitor {
    fn metrics(&self) -> &[&'static str] {
        &["probe_top1"]
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
        let LinearProbeConfig { view, level, .. } = &self.config;
        let off = |reason: &str| Ok(Outcome::Off { reason: reason.into() });
        let Labeled { train, test } = match labeled(features, view, *level)? {
            Ok(features) => features,
            Err(reason) => return off(reason),
        };
        if test.n_classes < 2 {
            return off("there is only one class, and a classifier needs two");
        }
        if train.n < 2 {
            return off("there are fewer than two training images");
        }
        let mut wanted = Wanted::new(features, view, *level);
        let metric = self
            .metric(&train, &test, &mut |_| wanted.still())
            .map_err(|error| MonitorError::Measurement(error.into()))?;
        let metric = wanted.end(metric)?;
        Ok(Outcome::Measured(vec![metric]))
    }
}

/// The features without a random tenth of them, and that tenth.
fn held_out(all: &Embedding) -> (Embedding, Embedding) {
    let n = (all.n / HELD_OUT).max(1);
    let order = Rng::new(SEED, "features held out from a linear probe", &[]).permutation(all.n);
    let part = |images: &[usize]| {
        let mut images = images.to_vec();
        images.sort_unstable();
        Embedding {
            n: images.len(),
            rows: images.iter().flat_map(|&i| &all.rows[i * all.d..(i + 1) * all.d]).copied().collect(),
            labels: all.labels.as_ref().map(|labels| images.iter().map(|&image| labels[image]).collect()),
            d: all.d,
            n_classes: all.n_classes,
        }
    };
    (part(&order[n..]), part(&order[..n]))
}
