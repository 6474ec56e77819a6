//! Resizing, for evaluation.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::center_crop::central;
use crate::region::Region;
use crate::resample::{resized_crop, resized_part};
use crate::{Size, checks};

/// The most pixels that are made of an image whose sides differ: a hundred megabytes in RGB, which 256 pixels are for images
/// up to 512 times as long as they are wide.
const MAX_PIXELS: usize = 1 << 25;

/// Longer images, in units of their width, are made only as far as a crop that follows keeps them. Others are made whole,
/// because the last bit of a part may be another.
const ELONGATED: usize = 16;

plugin_api::register! {
    dyn Augmentation {
        name: "resize",
        summary: "resizes the image by its shorter side, to cover a size, or to a size; for evaluation",
        source: "torchvision Resize",
        example: "(shorter: 256)",
        build: |config: ResizeConfig, _context| Resize::new(config),
    }
}

/// The config of [`Resize`]: one of the three.
#[derive(Debug, Clone, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResizeConfig {
    /// Length of the shorter side of the output, in pixels; the aspect ratio is kept. Usual for ImageNet evaluation: 256.
    pub shorter: Option<usize>,
    /// Height and width, in pixels, that the output covers, `96` or `(height, width)`: the smallest that does so with the
    /// image's aspect ratio. A center crop of this size cuts as little as can be.
    pub cover: Option<Size>,
    /// Height and width of the output, in pixels, `96` or `(height, width)`, whatever the image's aspect ratio is.
    pub size: Option<Size>,
}

/// Resizes the image: by its shorter side, [`resize_shorter`], to cover a size, [`resize_to_cover`], or to a size,
/// [`resized_crop`] of all of it.
///
/// An image that is more than 16 times as long as it is wide is made only as far as a `center-crop` that follows keeps it,
/// with values that may differ by one level from those of the whole.
///
/// Random draws: none.
#[derive(Debug, Clone)]
pub struct Resize {
    to: To,
}

#[derive(Debug, Clone, Copy)]
enum To {
    Shorter(usize),
    /// `(H, W)`.
    Cover((usize, usize)),
    /// `(H, W)`.
    Size((usize, usize)),
}

impl Resize {
    /// The step for `config`.
    ///
    /// # Errors
    /// If there is no size or more than one, or a side is 0 or too large.
    pub fn new(config: ResizeConfig) -> Result<Self, ConfigError> {
        let to = match (config.shorter, config.cover, config.size) {
            (Some(shorter), None, None) => To::Shorter(checks::side("shorter", shorter)?),
            (None, Some(size), None) => To::Cover(checks::size("cover", size)?),
            (None, None, Some(size)) => To::Size(checks::size("size", size)?),
            (None, None, None) => {
                return Err(ConfigError::unfit(
                    "this `resize` has no size",
                    "write `shorter: 256`, `cover: (96, 64)` or `size: (96, 64)`",
                ));
            }
            _ => {
                return Err(ConfigError::unfit(
                    "this `resize` has more than one size",
                    "keep one of `shorter`, `cover` and `size`",
                ));
            }
        };
        Ok(Self { to })
    }
}

impl To {
    /// `(H, W)` of what an image of `(H, W)` becomes.
    fn size(self, (height, width): (usize, usize)) -> (usize, usize) {
        match self {
            Self::Shorter(shorter) => cover((height, width), (shorter, shorter)),
            Self::Cover(size) => cover((height, width), size),
            Self::Size(size) => size,
        }
    }

    fn resize(self, image: &ByteImage, center: Option<(usize, usize)>) -> ByteImage {
        let full = self.size((image.height, image.width));
        match self {
            Self::Size(_) => resized_crop(image, Region::whole(image), full),
            Self::Shorter(_) | Self::Cover(_) => resize_for_center(image, full, center),
        }
    }
}

impl Augmentation for Resize {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        let input = checks::bytes("resize", input)?;
        let size = match self.to {
            To::Size(size) => Some(size),
            to => input.size.map(|size| bounded(to.size(size))),
        };
        Ok(ImageShape { size, ..input })
    }

    fn apply(&self, image: Image, _draws: &mut Rng) -> Image {
        checks::on_bytes(image, |image| self.to.resize(&image, None))
    }

    fn apply_for_center(&self, image: Image, center: (usize, usize), _draws: &mut Rng) -> Image {
        checks::on_bytes(image, |image| self.to.resize(&image, Some(center)))
    }
}

/// Resizes `image` so that its shorter side is `shorter` pixels. The longer side keeps the aspect ratio, rounded down.
///
/// Of a result of more than 33,554,432 pixels only the central ones are made, or as many as are in a square.
pub fn resize_shorter(image: &ByteImage, shorter: usize) -> ByteImage {
    To::Shorter(shorter).resize(image, None)
}

/// Resizes `image` to the smallest image of its aspect ratio, rounded down, that covers `(H, W)` pixels. As much of it is
/// made as by [`resize_shorter`].
pub fn resize_to_cover(image: &ByteImage, size: (usize, usize)) -> ByteImage {
    To::Cover(size).resize(image, None)
}

/// Resizes `image` to `full`, but makes of an elongated one no more than the central pixels that a crop keeps.
fn resize_for_center(image: &ByteImage, full: (usize, usize), center: Option<(usize, usize)>) -> ByteImage {
    let made = bounded(full);
    let kept = center.map_or(made, |center| (made.0.min(center.0), made.1.min(center.1)));
    if made == full && (kept == full || full.0.max(full.1) <= ELONGATED * full.0.min(full.1)) {
        return resized_crop(image, Region::whole(image), full);
    }
    resized_part(image, full, central(full, kept))
}

/// The smallest size of the aspect ratio of `(height, width)`, rounded down, that covers `size`.
fn cover((height, width): (usize, usize), size: (usize, usize)) -> (usize, usize) {
    if size.0 * width <= size.1 * height {
        (size.1 * height / width, size.1)
    } else {
        (size.0, size.0 * width / height)
    }
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
        let shorter = |size, shorter| To::Shorter(shorter).size(size);
        assert_eq!(shorter((375, 500), 256), (256, 341));
        assert_eq!(shorter((500, 333), 256), (384, 256));
        assert_eq!(shorter((32, 32), 32), (32, 32));
    }

    #[test]
    fn a_size_is_covered_by_the_smallest_image_of_the_same_shape() {
        assert_eq!(cover((375, 500), (96, 64)), (96, 128));
        assert_eq!(cover((375, 500), (64, 96)), (72, 96));
        assert_eq!(cover((500, 375), (64, 96)), (128, 96));
        assert_eq!(cover((2, 3), (64, 96)), (64, 96));
    }

    #[test]
    fn height_and_width_are_reached_whatever_the_shape_is() {
        let image = ByteImage::rgb(9, 7, [0, 100, 255].repeat(63));
        let resize = Resize::new(ResizeConfig {
            size: Some(Size { height: 12, width: 5 }),
            ..ResizeConfig::default()
        });
        let resized = resize.unwrap().apply(Image::Bytes(image), &mut Rng::new(0, "test", &[]));
        assert_eq!(resized, Image::Bytes(ByteImage::rgb(5, 12, [0, 100, 255].repeat(60))));
    }

    #[test]
    fn one_size_is_needed() {
        let refused = |config: &str| {
            let error = Resize::new(plugin_api::Config::new(config).parse().unwrap()).unwrap_err();
            format!("{error}: {}", error.hint().unwrap_or("no hint"))
        };
        assert!(refused("()").starts_with("this `resize` has no size: write"));
        assert!(refused("(shorter: 9, size: 9)").starts_with("this `resize` has more than one size: keep"));
        assert!(refused("(size: (9, 0))").starts_with("`size` is (9, 0), but it must be from 1 to"));
    }

    #[test]
    fn a_crop_sees_the_same_of_an_image_that_was_made_as_far_as_the_crop_keeps_it() {
        let crop = |image: &ByteImage| center_crop(image, (24, 24));
        for (height, width) in [(20, 500), (500, 20), (19, 401), (40, 900), (25, 33)] {
            let values = (0..height * width * 3).map(|i| (i * i * 31 + i * 7) as u8).collect();
            let image = ByteImage::rgb(width, height, values);
            for shorter in [32, 31, 7] {
                let whole = crop(&resize_shorter(&image, shorter));
                let part = crop(&To::Shorter(shorter).resize(&image, Some((24, 24))));
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
