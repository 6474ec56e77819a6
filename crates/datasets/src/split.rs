//! A part of the images of another dataset, and another part held out for measuring.

use std::sync::Arc;

use plugin_api::{
    ByteImage, ConfigError, Dataset, DatasetConfig, DatasetContext, DatasetError, Images, Rng, Splits,
    UnreadableImage,
};

use crate::places::error;

plugin_api::register! {
    dyn Dataset {
        name: "split",
        summary: "another dataset, of whose images a share is held out for testing, and of the rest a share trained on",
        source: "",
        example: r#"(of: ("flat-folder", (root: "photos")))"#,
        build: |config: SplitConfig, context| SplitDataset::new(config, context),
    }
}

/// The config of [`SplitDataset`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitConfig {
    /// The dataset whose training images are dealt: a plugin with its config.
    pub of: DatasetConfig,
    /// Share of the images that is held out for testing, from 0 to below 1. It must be 0 if the dataset has test images.
    #[serde(default = "SplitConfig::default_test")]
    pub test: f64,
    /// Share of the images that is trained on, above 0; together with `test` at most 1. By default all that are not held out.
    #[serde(default)]
    pub train: Option<f64>,
    /// The seed of the draw. It is not that of the pipeline, so that runs with other seeds are measured on the same images.
    #[serde(default)]
    pub seed: u64,
}

impl SplitConfig {
    fn default_test() -> f64 {
        0.05
    }
}

/// A part of the images of another dataset, and another part held out for testing.
///
/// Which part an image is in is drawn by its [`key`](Images::key), its path below the folder of the dataset: it stays there when
/// images come or go, or the folder moves, and with larger shares. So shares are met on average, and not to the image.
pub struct SplitDataset {
    config: SplitConfig,
    of: Arc<dyn Dataset>,
}

impl SplitDataset {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If a share is out of range, or the other dataset refuses its config.
    pub fn new(config: SplitConfig, context: &DatasetContext) -> Result<Self, ConfigError> {
        if !(0.0..1.0).contains(&config.test) {
            return Err(ConfigError::field("test", config.test, "it must be from 0 to below 1"));
        }
        if let Some(train) = config.train {
            // Shares such as 0.9 and 0.1 must not fail by their rounding.
            let most = 1.0 - config.test + 1e-9;
            if !(train > 0.0 && train <= most) {
                let must = format!("it must be above 0, and at most 1 less `test`, {}", 1.0 - config.test);
                return Err(ConfigError::field("train", train, must));
            }
        }
        let built = config.of.build(context);
        let of = built.map_err(|source| ConfigError::Nested { field: "of", source: Box::new(source) })?;
        Ok(Self { config, of })
    }

    /// Where the image with `key` is on a scale from 0 to 1: test images are at its lower end, and training images at the upper.
    fn place(&self, key: &str) -> f64 {
        Rng::new(self.config.seed, &format!("split: {key}"), &[]).unit()
    }
}

impl Dataset for SplitDataset {
    fn open(&self) -> Result<Splits, DatasetError> {
        let Splits { train: all, test: own_test, notes } = self.of.open()?;
        let SplitConfig { test: test_share, train, .. } = &self.config;
        if own_test.is_some() && *test_share > 0.0 {
            return Err(error(
                self.of.describe().as_ref(),
                "it has test images of its own, and `split` would hold out more",
                "set `test: 0` in `split`, or leave `split` out",
            ));
        }
        let first_train = train.map_or(*test_share, |train| 1.0 - train);
        let (mut kept, mut held_out) = (Vec::new(), Vec::new());
        for index in 0..all.len() {
            let place = self.place(&all.key(index));
            if place < *test_share {
                held_out.push(index);
            } else if place >= first_train {
                kept.push(index);
            }
        }
        if kept.is_empty() {
            return Err(error(
                self.of.describe().as_ref(),
                format!("of its {} images, `split` leaves none to train on", all.len()),
                "use a larger share, `train`, or leave `split` out",
            ));
        }
        let some = |indices| -> Arc<dyn Images> { Arc::new(Chosen { all: Arc::clone(&all), indices }) };
        let test = if *test_share > 0.0 && !held_out.is_empty() { Some(some(held_out)) } else { own_test };
        Ok(Splits { train: some(kept), test, notes })
    }

    fn channels(&self) -> usize {
        self.of.channels()
    }

    fn decode(&self, bytes: &[u8]) -> Option<Result<ByteImage, String>> {
        self.of.decode(bytes)
    }

    fn read_options(&self) -> Option<String> {
        self.of.read_options()
    }

    fn describe(&self) -> String {
        let percent = |share: f64| (1000.0 * share).round() / 10.0;
        let mut text = self.of.describe();
        if let Some(train) = self.config.train {
            text += &format!(", {} % of them", percent(train));
        }
        if self.config.test > 0.0 {
            text += &format!(", {} % held out", percent(self.config.test));
        }
        text
    }
}

/// Some of the images of a set, in its order.
struct Chosen {
    all: Arc<dyn Images>,
    indices: Vec<usize>,
}

impl Images for Chosen {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.all.label(self.indices[index])
    }

    fn class_names(&self) -> &[String] {
        self.all.class_names()
    }

    fn name(&self, index: usize) -> String {
        self.all.name(self.indices[index])
    }

    fn key(&self, index: usize) -> String {
        self.all.key(self.indices[index])
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        self.all.load(self.indices[index])
    }

    fn notes(&self) -> Vec<String> {
        self.all.notes()
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        self.all.encoded(self.indices[index])
    }

    fn beginning(&self, index: usize, n_bytes: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        self.all.beginning(self.indices[index], n_bytes)
    }
}
