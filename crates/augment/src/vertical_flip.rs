//! Vertical flip.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::checks;

plugin_api::register! {
    dyn Augmentation {
        name: "vertical-flip",
        summary: "randomly flips the image upside down, for images without an up: cells, tiles from above",
        source: "torchvision RandomVerticalFlip",
        example: "(p: 0.5)",
        build: |config: VerticalFlipConfig, _context| VerticalFlip::new(config),
    }
}

/// The config of [`VerticalFlip`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerticalFlipConfig {
    /// Probability of applying it. torchvision: 0.5.
    #[serde(default = "VerticalFlipConfig::torchvision_p")]
    pub p: f64,
}

impl VerticalFlipConfig {
    fn torchvision_p() -> f64 {
        0.5
    }
}

/// Flips the image vertically, [`flip_vertically`], with probability `p`.
///
/// Random draws: one. Whether to apply.
#[derive(Debug, Clone)]
pub struct VerticalFlip {
    p: f64,
}

impl VerticalFlip {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If `p` is not a probability.
    pub fn new(config: VerticalFlipConfig) -> Result<Self, ConfigError> {
        Ok(Self { p: checks::probability(config.p)? })
    }
}

impl Augmentation for VerticalFlip {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        checks::bytes("vertical-flip", input)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let act = rng.chance(self.p);
        checks::in_place(image, act, flip_vertically)
    }
}

/// Flips the image vertically.
pub fn flip_vertically(image: &mut ByteImage) {
    let len = image.channels * image.width;
    let (above, below) = image.values.split_at_mut(image.height / 2 * len);
    for (row, other) in above.chunks_exact_mut(len).zip(below.rchunks_exact_mut(len)) {
        row.swap_with_slice(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_change_places_and_the_middle_one_stays() {
        for height in 1..=4_u8 {
            let values = (0..height).flat_map(|row| [10 * row, 10 * row + 1]).collect();
            let mut image = ByteImage { width: 1, height: usize::from(height), channels: 2, values };
            flip_vertically(&mut image);
            let expected: Vec<u8> = (0..height).rev().flat_map(|row| [10 * row, 10 * row + 1]).collect();
            assert_eq!(image.values, expected);
        }
    }
}
