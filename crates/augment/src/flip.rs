//! Horizontal flip.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::checks;
use crate::wide::wide;

plugin_api::register! {
    dyn Augmentation {
        name: "flip",
        summary: "randomly flips the image horizontally",
        source: "torchvision RandomHorizontalFlip",
        example: "(p: 0.5)",
        build: |config: FlipConfig, _context| Flip::new(config),
    }
}

/// The config of [`Flip`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlipConfig {
    /// Probability of applying it. torchvision, MoCo v1, v2, v3: 0.5.
    #[serde(default = "FlipConfig::torchvision_p")]
    pub p: f64,
}

impl FlipConfig {
    fn torchvision_p() -> f64 {
        0.5
    }
}

/// Flips the image horizontally, [`flip_horizontally`], with probability `p`.
///
/// Random draws: one. Whether to apply.
#[derive(Debug, Clone)]
pub struct Flip {
    p: f64,
}

impl Flip {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If `p` is not a probability.
    pub fn new(config: FlipConfig) -> Result<Self, ConfigError> {
        Ok(Self { p: checks::probability(config.p)? })
    }
}

impl Augmentation for Flip {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        checks::bytes("flip", input)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let act = rng.chance(self.p);
        checks::in_place(image, act, flip_horizontally)
    }
}

/// Flips the image horizontally.
pub fn flip_horizontally(image: &mut ByteImage) {
    wide(
        #[inline(always)]
        || flip_rows(image),
    );
}

#[inline(always)]
fn flip_rows(image: &mut ByteImage) {
    if image.channels != 3 {
        return flip_rows_of_any(image);
    }
    let mut planes = [vec![0; image.width], vec![0; image.width], vec![0; image.width]];
    for row in image.values.chunks_exact_mut(3 * image.width) {
        let pixels = row.as_chunks_mut::<3>().0;
        let [r, g, b] = &mut planes;
        for (((r, g), b), pixel) in r.iter_mut().zip(g).zip(b).zip(&*pixels) {
            [*r, *g, *b] = *pixel;
        }
        let [r, g, b] = &planes;
        for (((r, g), b), pixel) in r.iter().zip(g).zip(b).zip(pixels.iter_mut().rev()) {
            *pixel = [*r, *g, *b];
        }
    }
}

fn flip_rows_of_any(image: &mut ByteImage) {
    let n = image.channels;
    for row in image.values.chunks_exact_mut(n * image.width) {
        // All values in the other order, and then those of each pixel again.
        row.reverse();
        row.chunks_exact_mut(n).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_channels_changes_sides_in_order() {
        let mut image = ByteImage { width: 3, height: 2, channels: 2, values: (0..12).collect() };
        flip_horizontally(&mut image);
        assert_eq!(image.values, [4, 5, 2, 3, 0, 1, 10, 11, 8, 9, 6, 7]);
    }

    #[test]
    fn pixels_change_sides_and_channels_stay_in_order() {
        let mut image = ByteImage::rgb(3, 2, (0..18).collect());
        flip_horizontally(&mut image);
        assert_eq!(image.values, [6, 7, 8, 3, 4, 5, 0, 1, 2, 15, 16, 17, 12, 13, 14, 9, 10, 11]);
    }
}
