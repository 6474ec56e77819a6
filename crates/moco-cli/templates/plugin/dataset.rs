//! The dataset `__name__`.
__crate_attributes__
use std::sync::Arc;

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{
    ByteImage, ConfigError, Dataset, DatasetError, Images, Rng, Split, Splits, UnreadableImage,
};

plugin_api::register! {
    dyn Dataset {
        name: "__name__",
        summary: "generated stripes in four directions, labeled",
        source: "",
        example: "(train: 1024, test: 256)",
        build: |config: __Name__Config, context| __Name__::new(config, context.seed),
    }
}

/// The classes, and how far along x and y a stripe goes.
const DIRECTIONS: [(&str, f64, f64); 4] =
    [("horizontal", 0.0, 1.0), ("vertical", 1.0, 0.0), ("rising", 0.7, 0.7), ("falling", 0.7, -0.7)];

/// The config of [`__Name__`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct __Name__Config {
    /// Number of training images, at least 1.
    pub train: usize,
    /// Number of test images; 0 for no test split.
    pub test: usize,
    /// Height and width of an image in pixels, 8-1024.
    pub size: usize,
}

impl Default for __Name__Config {
    fn default() -> Self {
        Self { train: 1024, test: 256, size: 32 }
    }
}

/// Images of stripes of random width, place and color. The class is their direction.
///
/// Image `i` of a split depends on the seed, the split and `i` alone.
#[derive(Debug, Clone)]
pub struct __Name__ {
    config: __Name__Config,
    seed: u64,
}

impl __Name__ {
    /// The dataset for `config`, with `seed`.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn new(config: __Name__Config, seed: u64) -> Result<Self, ConfigError> {
        if config.train == 0 {
            return Err(ConfigError::field("train", config.train, "it must be at least 1"));
        }
        if !(8..=1024).contains(&config.size) {
            return Err(ConfigError::field("size", config.size, "it must be from 8 to 1024"));
        }
        Ok(Self { config, seed })
    }

    fn images(&self, split: Split, len: usize) -> Arc<dyn Images> {
        let class_names = DIRECTIONS.iter().map(|(name, ..)| (*name).to_owned()).collect();
        Arc::new(Stripes { seed: self.seed, split, len, size: self.config.size, class_names })
    }
}

impl Dataset for __Name__ {
    fn open(&self) -> Result<Splits, DatasetError> {
        let __Name__Config { train, test, .. } = self.config;
        Ok(Splits {
            train: self.images(Split::Train, train),
            test: (test > 0).then(|| self.images(Split::Test, test)),
            notes: Vec::new(),
        })
    }

    fn describe(&self) -> String {
        let __Name__Config { size, .. } = self.config;
        format!("generated stripes, {} classes, {size} x {size} pixels", DIRECTIONS.len())
    }
}

/// The images of one split.
struct Stripes {
    seed: u64,
    split: Split,
    len: usize,
    size: usize,
    class_names: Vec<String>,
}

impl Images for Stripes {
    fn len(&self) -> usize {
        self.len
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some((index % DIRECTIONS.len()) as u32)
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self, index: usize) -> String {
        let split = if self.split == Split::Train { "training" } else { "test" };
        format!("{split} image {index}")
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        let split = u64::from(self.split == Split::Test);
        let mut rng = Rng::new(self.seed, "__name__", &[split, index as u64]);
        let (_, along_x, along_y) = DIRECTIONS[index % DIRECTIONS.len()];
        let (width, start) = (rng.uniform(4.0, 9.0), rng.uniform(0.0, 9.0));
        let mut color = || [(); 3].map(|()| rng.below(256) as u8);
        let colors = [color(), color()];
        let mut values = Vec::with_capacity(self.size * self.size * 3);
        for y in 0..self.size {
            for x in 0..self.size {
                let across = start + along_x * x as f64 + along_y * y as f64;
                let is_odd = (across / width).floor().rem_euclid(2.0) >= 1.0;
                values.extend(colors[usize::from(is_odd)]);
            }
        }
        Ok(ByteImage::rgb(self.size, self.size, values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_kept() {
        plugin_tests::check_dataset("__name__");
        plugin_tests::check_dataset_with("__name__", "(train: 10, test: 0, size: 9)");
    }

    #[test]
    fn horizontal_stripes_are_of_one_color_along_a_row() {
        let config = __Name__Config { train: 4, test: 0, size: 16 };
        let images = __Name__::new(config, 0).unwrap().open().unwrap().train;
        assert_eq!(images.class_names()[images.label(0).unwrap() as usize], "horizontal");
        let image = images.load(0).unwrap();
        assert!(image.values.chunks(16 * 3).all(|row| row.chunks(3).all(|pixel| pixel == &row[..3])));
    }

    #[test]
    fn no_images_are_refused() {
        assert!(__Name__::new(__Name__Config { train: 0, ..__Name__Config::default() }, 0).is_err());
    }
}
