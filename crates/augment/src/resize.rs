//! Resizing by the shorter side, for evaluation.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::center_crop::central;
use crate::checks;
use crate::region::Region;
use crate::resample::{resized_crop, resized_part};

/// The most pixels that are made of an image whose sides differ: a hundred megabytes in RGB, which 256 pixels are for images
/// up to 512 times as long as they are wide.
const MAX_PIXELS: usize = 1 << 25;

/// Longer images, in units of their width, are made only as far as a crop that follows keeps them. Others are made whole,
/// because the last bit of a part may be another.
const ELONGATED: usize = 16;

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
/// An image that is more than 16 times as long as it is wide is made only as far as a `center-crop` that follows keeps it,
/// with values that may differ by one level from those of the whole.
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
        Ok(ImageShape { size: input.size.map(|size| bounded(resized(size, self.shorter))), ..input })
    }

    fn apply(&self, image: Image, _draws: &mut Rng) -> Image {
        checks::on_bytes(image, |image| resize_shorter(&image, self.shorter))
    }

    fn apply_for_center(&self, image: Image, center: (usize, usize), _draws: &mut Rng) -> Image {
        checks::on_bytes(image, |image| resize_for_center(&image, self.shorter, center))
    }
}

/// Resizes `image` so that its shorter side is `shorter` pixels. The longer side keeps the aspect ratio, rounded down.
///
/// Of a result of more than 33,554,432 pixels only the central ones are made, or as many as are in a square.
pub fn resize_shorter(image: &ByteImage, shorter: usize) -> ByteImage {
    resize_for_center(image, shorter, (usize::MAX, usize::MAX))
}

/// As [`resize_shorter`], but of an elongated image no more than the central pixels that a crop keeps.
fn resize_for_center(image: &ByteImage, shorter: usize, center: (usize, usize)) -> ByteImage {
    let full = resized((image.height, image.width), shorter);
    let made = bounded(full);
    let kept = (made.0.min(center.0), made.1.min(center.1));
    if made == full && (kept == full || full.0.max(full.1) <= ELONGATED * shorter) {
        return resized_crop(image, Region::whole(image), full);
    }
    resized_part(image, full, central(full, kept))
}

fn resized((height, width): (usize, usize), shorter: usize) -> (usize, usize) {
    if width <= height { (shorter * height / width, shorter) } else { (shorter, shorter * width / height) }
}

/// What is made of a result of `(H, W)` pixels.
fn bounded((height, width): (usize, usize)) -> (usize, usize) {
    let shorter = height.min(width);
    let longest = shorter.max(MAX_PIXELS / shorter);
    (height.min(longest), width.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::center_crop;

    #[test]
    fn the_longer_side_is_rounded_down() {
        assert_eq!(resized((375, 500), 256), (256, 341));
        assert_eq!(resized((500, 333), 256), (384, 256));
        assert_eq!(resized((32, 32), 32), (32, 32));
    }

    #[test]
    fn a_crop_sees_the_same_of_an_image_that_was_made_as_far_as_the_crop_keeps_it() {
        let crop = |image: &ByteImage| center_crop(image, 24);
        for (height, width) in [(20, 500), (500, 20), (19, 401), (40, 900), (25, 33)] {
            let values = (0..height * width * 3).map(|i| (i * i * 31 + i * 7) as u8).collect();
            let image = ByteImage::rgb(width, height, values);
            for shorter in [32, 31, 7] {
                let whole = crop(&resize_shorter(&image, shorter));
                let part = crop(&resize_for_center(&image, shorter, (24, 24)));
                let is_ordinary = height.max(width) <= ELONGATED * height.min(width);
                let tolerance = if is_ordinary { 0 } else { 1 };
                let is_near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= tolerance;
                assert!(whole.values.iter().zip(&part.values).all(is_near), "{height} x {width}, {shorter}");
            }
        }
    }

    #[test]
    fn of_a_result_that_is_too_large_the_middle_is_made() {
        let values = (0..200_000).map(|pixel| (pixel / 1000) as u8).collect();
        let image = ByteImage { width: 200_000, height: 1, channels: 1, values };
        let resized = resize_shorter(&image, 256);
        assert_eq!((resized.height, resized.width), (256, MAX_PIXELS / 256));
        assert_eq!(resized.values[resized.width / 2], 100);
        // 512 pixels of the original's 200,000, from the middle.
        assert!(resized.values.iter().all(|value| (99..=100).contains(value)));
    }

    #[test]
    fn a_flat_image_stays_flat() {
        let image = ByteImage::rgb(9, 7, [0, 100, 255].repeat(63));
        for shorter in [3, 7, 20] {
            assert!(resize_shorter(&image, shorter).values.chunks(3).all(|pixel| pixel == [0, 100, 255]));
        }
    }
}
