//! Resizing by the shorter side, for evaluation.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::checks;
use crate::resample::{Region, resized_crop};

plugin_api::register! {
    dyn Augmentation {
        name: "resize",
        summary: "resizes the shorter side to a given length; for evaluation",
        source: "torchvision Resize",
        example: "(shorter: 256)",
        build: |config: ResizeConfig, _context| Resize::new(config),
    }
}

/// The config of [`Resize`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResizeConfig {
    /// Length of the shorter side of the output, in pixels. Usual for ImageNet evaluation: 256.
    pub shorter: usize,
}

/// Resizes the shorter side to a given length, [`resize_shorter`].
///
/// Random draws: none.
#[derive(Debug, Clone)]
pub struct Resize {
    shorter: usize,
}

impl Resize {
    /// The step for `config`.
    ///
    /// # Errors
    /// If the length is 0 or too large.
    pub fn new(config: ResizeConfig) -> Result<Self, ConfigError> {
        Ok(Self { shorter: checks::side("shorter", config.shorter)? })
    }
}

impl Augmentation for Resize {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        let input = checks::bytes("resize", input)?;
        Ok(ImageShape { size: input.size.map(|size| resized(size, self.shorter)), ..input })
    }

    fn apply(&self, image: Image, _draws: &mut Rng) -> Image {
        checks::on_bytes(image, |image| resize_shorter(&image, self.shorter))
    }
}

/// Resizes `image` so that its shorter side is `shorter` pixels. The longer side keeps the aspect ratio, rounded down.
pub fn resize_shorter(image: &ByteImage, shorter: usize) -> ByteImage {
    resized_crop(image, Region::whole(image), resized((image.height, image.width), shorter))
}

fn resized((height, width): (usize, usize), shorter: usize) -> (usize, usize) {
    if width <= height { (shorter * height / width, shorter) } else { (shorter, shorter * width / height) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_side_is_rounded_down() {
        assert_eq!(resized((375, 500), 256), (256, 341));
        assert_eq!(resized((500, 333), 256), (384, 256));
        assert_eq!(resized((32, 32), 32), (32, 32));
    }

    #[test]
    fn a_flat_image_stays_flat() {
        let image = ByteImage::rgb(9, 7, [0, 100, 255].repeat(63));
        for shorter in [3, 7, 20] {
            assert!(resize_shorter(&image, shorter).values.chunks(3).all(|pixel| pixel == [0, 100, 255]));
        }
    }
}
