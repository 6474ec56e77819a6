//! An augmentation that covers a square of each image (cutout: DeVries and Taylor 2017, arXiv:1708.04552).

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{Augmentation, ConfigError, Image, ImageShape, ImageValues, Rng};

plugin_api::register! {
    dyn Augmentation {
        name: "cutout",
        summary: "covers a square at a random place with gray",
        source: "DeVries and Taylor 2017, arXiv:1708.04552",
        example: "(size: 8)",
        build: |config: CutoutConfig, _context| Cutout::new(config),
    }
}

/// The config of [`Cutout`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct CutoutConfig {
    /// The side of the square in pixels, at least 1. The paper: 16 for CIFAR-10.
    pub size: usize,
    /// The gray value of the square, 0 to 255.
    #[serde(default = "CutoutConfig::middle_gray")]
    pub gray: u8,
}

impl CutoutConfig {
    fn middle_gray() -> u8 {
        128
    }
}

/// Covers a square whose center is anywhere in the image. It makes two draws.
#[derive(Debug, Clone)]
pub struct Cutout {
    config: CutoutConfig,
}

impl Cutout {
    /// The augmentation that `config` describes.
    ///
    /// # Errors
    /// If the square has no pixels.
    pub fn new(config: CutoutConfig) -> Result<Self, ConfigError> {
        if config.size == 0 {
            return Err(ConfigError::field("size", config.size, "it must be at least 1"));
        }
        Ok(Self { config })
    }
}

impl Augmentation for Cutout {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        match input.values {
            ImageValues::Bytes => Ok(input),
            ImageValues::Floats => {
                Err(ConfigError::unfit("`cutout` works on bytes", "put it before `normalize`"))
            }
        }
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let Image::Bytes(mut image) = image else { return image };
        let half = self.config.size / 2;
        let (x, y) = (rng.below(image.width), rng.below(image.height));
        let columns = x.saturating_sub(half)..(x + self.config.size - half).min(image.width);
        for row in y.saturating_sub(half)..(y + self.config.size - half).min(image.height) {
            let (start, n) = (row * image.width, image.channels);
            image.values[n * (start + columns.start)..n * (start + columns.end)].fill(self.config.gray);
        }
        Image::Bytes(image)
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::ByteImage;

    use super::*;

    #[test]
    fn a_square_is_covered_and_the_rest_stays() {
        let cutout = Cutout::new(CutoutConfig { size: 4, gray: 7 }).unwrap();
        let white = ByteImage::rgb(32, 32, vec![255; 32 * 32 * 3]);
        let Image::Bytes(image) = cutout.apply(Image::Bytes(white), &mut Rng::new(0, "test", &[])) else {
            panic!("the image is not bytes")
        };
        let n_covered = image.values.iter().filter(|value| **value == 7).count();
        assert!((12..=48).contains(&n_covered), "{n_covered}");
        assert!(image.values.iter().all(|value| [7, 255].contains(value)));
    }

    #[test]
    fn a_square_without_pixels_is_refused() {
        assert!(Cutout::new(CutoutConfig { size: 0, gray: 0 }).is_err());
    }
}
