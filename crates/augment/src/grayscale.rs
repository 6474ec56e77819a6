//! Random conversion to grayscale.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::checks;
use crate::planes::{LANES, change_pixels};
use crate::wide::wide;

plugin_api::register! {
    dyn Augmentation {
        name: "grayscale",
        summary: "randomly converts the image to grayscale",
        source: "torchvision RandomGrayscale; MoCo v2 (Chen et al. 2020, arXiv:2003.04297)",
        example: "(p: 0.2)",
        build: |config: GrayscaleConfig, _context| Grayscale::new(config),
    }
}

/// The config of [`Grayscale`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrayscaleConfig {
    /// Probability of applying it. MoCo v1, v2, v3: 0.2.
    #[serde(default = "GrayscaleConfig::moco_p")]
    pub p: f64,
}

impl GrayscaleConfig {
    fn moco_p() -> f64 {
        0.2
    }
}

/// Converts the image to grayscale, [`to_gray`], with probability `p`.
///
/// Random draws: one. Whether to apply.
#[derive(Debug, Clone)]
pub struct Grayscale {
    p: f64,
}

impl Grayscale {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If `p` is not a probability.
    pub fn new(config: GrayscaleConfig) -> Result<Self, ConfigError> {
        Ok(Self { p: checks::probability(config.p)? })
    }
}

impl Augmentation for Grayscale {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        checks::rgb("grayscale", input)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let act = rng.chance(self.p);
        checks::in_place(image, act, to_gray)
    }
}

/// Sets every channel to the luminance of ITU-R 601-2, as in Pillow's mode `L`.
pub fn to_gray(image: &mut ByteImage) {
    let rgb = &mut image.values[..];
    wide(
        #[inline(always)]
        || gray_pixels(rgb),
    );
}

#[inline(always)]
fn gray_pixels(rgb: &mut [u8]) {
    change_pixels(
        rgb,
        #[inline(always)]
        |planes| {
            for i in 0..LANES {
                planes.r[i] = luma(planes.r[i], planes.g[i], planes.b[i]) as u8;
            }
            planes.g = planes.r;
            planes.b = planes.r;
        },
    );
}

/// `0.299 R + 0.587 G + 0.114 B`, rounded: a byte, returned as the `u32` that it is computed in.
#[inline(always)]
pub(crate) fn luma(r: u8, g: u8, b: u8) -> u32 {
    // The weights in units of 1/65536; they add up to 65536.
    (u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gray_pixels_keep_their_value() {
        assert!((0..=255).all(|v| luma(v, v, v) == u32::from(v)));
    }

    #[test]
    fn the_channels_are_weighted_as_in_pillow() {
        // Image.new("RGB", (1, 1), c).convert("L").getpixel((0, 0))
        assert_eq!([luma(255, 0, 0), luma(0, 255, 0), luma(0, 0, 255)], [76, 150, 29]);
    }

    #[test]
    fn a_row_shorter_than_a_block_is_changed_to_its_end() {
        let mut image = ByteImage::rgb(2, 1, vec![255, 0, 0, 0, 0, 255]);
        to_gray(&mut image);
        assert_eq!(image.values, [76, 76, 76, 29, 29, 29]);
    }
}
