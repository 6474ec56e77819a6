//! The monitor `key-drift`.

use plugin_api::{ConfigError, FeatureExtractor, KeysAnew, Metric, Monitor, MonitorError, Outcome};

use crate::drift::{key_age_gap, key_drift};
use crate::labeled::check_every;

plugin_api::register! {
    dyn Monitor {
        name: "key-drift",
        summary: "how far the keys of a queue lie from what the momentum encoder makes of the same images now, by age; needs no labels",
        source: "after He et al. 2020, arXiv:1911.05722, §3.2",
        example: "(every: 5)",
        build: |config: KeyDriftConfig, _context| KeyDrift::new(config),
    }
}

/// The config of [`KeyDrift`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyDriftConfig {
    /// Epochs between measurements. The last epoch is always measured. A measurement takes the batches of five steps once
    /// more through the momentum encoder.
    #[serde(default = "KeyDriftConfig::default_every")]
    pub every: usize,
}

impl KeyDriftConfig {
    fn default_every() -> usize {
        5
    }
}

/// Ages of keys, in quarters of the way from the newest to the oldest.
const AGES: [&str; 5] = [
    "key_drift_newest",
    "key_drift_quarter",
    "key_drift_half",
    "key_drift_three_quarters",
    "key_drift_oldest",
];

/// Measures `key_drift_newest` to `key_drift_oldest` (see [`key_drift`]) and `key_age_gap` (see [`key_age_gap`]), the latter
/// between the newest and the oldest keys.
///
/// The newest keys are those of the last step, and the momentum encoder has not moved since: their drift is 0 but for rounding,
/// which shows that what is compared is the same.
#[derive(Debug, Clone)]
pub struct KeyDrift {
    config: KeyDriftConfig,
}

impl KeyDrift {
    /// The monitor for `config`.
    ///
    /// # Errors
    /// If `every` is 0.
    pub fn new(config: KeyDriftConfig) -> Result<Self, ConfigError> {
        check_every(config.every)?;
        Ok(Self { config })
    }
}

impl Monitor for KeyDrift {
    fn metrics(&self) -> &[&'static str] {
        &[AGES[0], AGES[1], AGES[2], AGES[3], AGES[4], "key_age_gap"]
    }

    fn views(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Never for the untrained encoder, whose queue has no keys.
    fn is_due(&self, epochs_done: usize, epochs: usize) -> bool {
        epochs_done > 0 && (epochs_done.is_multiple_of(self.config.every) || epochs_done == epochs)
    }

    fn measure(&mut self, encoder: &mut dyn FeatureExtractor) -> Result<Outcome, MonitorError> {
        let n_steps = match encoder.kept_steps() {
            Ok(n_steps) => n_steps,
            Err(reason) => return Ok(Outcome::Off { reason }),
        };
        if n_steps < 2 {
            let reason =
                "the queue holds the keys of a single step, and none that are older: choose a larger `len`";
            return Ok(Outcome::Off { reason: reason.into() });
        }
        let mut metrics = Vec::new();
        let mut newest: Option<KeysAnew> = None;
        for (quarters, name) in AGES.into_iter().enumerate() {
            let steps_ago = quarters * (n_steps - 1) / (AGES.len() - 1);
            let keys = encoder.keys_anew(steps_ago)?;
            let n = keys.kept.len() / keys.d.max(1);
            metrics.push(metric(
                name,
                key_drift(&keys.kept, &keys.anew, keys.d),
                format!("{n} keys of {}, 1 - cosine; 0 is none", age(steps_ago)),
            ));
            if steps_ago + 1 == n_steps
                && let Some(newest) = &newest
            {
                metrics.push(metric(
                    "key_age_gap",
                    key_age_gap(&newest.kept, &keys.kept, keys.d),
                    format!("mean cosine among the {n} newest keys, less that with the {n} of {}; over the temperature, nats by \
                             which old negatives are too easy", age(steps_ago)),
                ));
            }
            newest.get_or_insert(keys);
        }
        Ok(Outcome::Measured(metrics))
    }
}

/// `the last step`, `63 steps before`.
fn age(steps_ago: usize) -> String {
    match steps_ago {
        0 => "the last step".into(),
        1 => "the step before the last".into(),
        n => format!("{n} steps before the last"),
    }
}

fn metric(name: &str, value: f64, protocol: String) -> Metric {
    Metric { name: name.into(), value, is_share: false, more_is_better: false, protocol }
}
