//! Center crop, for evaluation.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::region::{self, Region};
use crate::{Size, checks};

plugin_api::register! {
    dyn Augmentation {
        name: "center-crop",
        summary: "crops the central part; for evaluation",
        source: "torchvision CenterCrop",
        example: "(size: 224)",
        build: |config: CenterCropConfig, _context| CenterCrop::new(config),
    }
}

/// The config of [`CenterCrop`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CenterCropConfig {
    /// Height and width of the output, in pixels: `224` or `(height, width)`. Smaller images are padded with black.
    pub size: Size,
}

/// Crops the central part, [`center_crop`].
///
/// Random draws: none.
#[derive(Debug, Clone)]
pub struct CenterCrop {
    /// `(H, W)`.
    size: (usize, usize),
}

impl CenterCrop {
    /// The step for `config`.
    ///
    /// # Errors
    /// If a side is 0 or too large.
    pub fn new(config: CenterCropConfig) -> Result<Self, ConfigError> {
        Ok(Self { size: checks::size("size", config.size)? })
    }
}

impl Augmentation for CenterCrop {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        let input = checks::bytes("center-crop", input)?;
        Ok(ImageShape { size: Some(self.size), ..input })
    }

    fn apply(&self, image: Image, _draws: &mut Rng) -> Image {
        checks::on_bytes(image, |image| center_crop(&image, self.size))
    }

    fn center(&self) -> Option<(usize, usize)> {
        Some(self.size)
    }
}

/// The central `(H, W)` pixels of `image`, padded with black.
pub fn center_crop(image: &ByteImage, size: (usize, usize)) -> ByteImage {
    let (rows, columns) = (Overlap::of(image.height, size.0), Overlap::of(image.width, size.1));
    let kept = central((image.height, image.width), size);
    let mut cropped = region::black(size, image.channels);
    region::copy(image, kept, &mut cropped, (rows.to, columns.to));
    cropped
}

/// What [`center_crop`] keeps of an image of `(H, W)` pixels.
pub(crate) fn central((height, width): (usize, usize), crop: (usize, usize)) -> Region {
    let (rows, columns) = (Overlap::of(height, crop.0), Overlap::of(width, crop.1));
    Region { top: rows.from, left: columns.from, height: rows.n, width: columns.n }
}

/// The overlap of a crop and the image, along one axis.
#[derive(Debug, PartialEq)]
struct Overlap {
    /// In the image.
    from: usize,
    /// In the crop.
    to: usize,
    n: usize,
}

impl Overlap {
    fn of(image: usize, crop: usize) -> Self {
        if crop > image {
            return Self { from: 0, to: (crop - image) / 2, n: image };
        }
        let from = ((image - crop) as f64 / 2.0).round_ties_even() as usize; // Python's `round`.
        Self { from, to: 0, n: crop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_pixels_are_rounded_to_the_even_side() {
        let from = |image, crop| Overlap::of(image, crop).from;
        assert_eq!([from(5, 4), from(7, 4), from(9, 4), from(8, 4)], [0, 2, 2, 2]);
    }

    #[test]
    fn a_small_image_is_framed_in_black() {
        let image = ByteImage::rgb(1, 3, vec![9; 9]);
        let framed = center_crop(&image, (2, 2));
        // One column of the two, in the left one; the rows 0 and 1 of three.
        assert_eq!(framed.values, [9, 9, 9, 0, 0, 0, 9, 9, 9, 0, 0, 0]);
        assert_eq!(center_crop(&image, (1, 2)).values, [9, 9, 9, 0, 0, 0]);
    }
}
