//! Solarization.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::checks;
use crate::wide::wide;

plugin_api::register! {
    dyn Augmentation {
        name: "solarize",
        summary: "randomly inverts values at or above a threshold",
        source: "Pillow ImageOps.solarize; MoCo v3 (Chen et al. 2021, arXiv:2104.02057)",
        example: "(p: 0.2)",
        build: |config: SolarizeConfig, _context| Solarize::new(config),
    }
}

/// The config of [`Solarize`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SolarizeConfig {
    /// Probability of applying it. MoCo v3: 0.2, in its second view only.
    #[serde(default = "SolarizeConfig::moco_p")]
    pub p: f64,
    /// Smallest value, from 0 to 255, that is inverted. Pillow, MoCo v3: 128.
    #[serde(default = "SolarizeConfig::pillow_threshold")]
    pub threshold: u8,
}

impl SolarizeConfig {
    fn moco_p() -> f64 {
        0.2
    }

    fn pillow_threshold() -> u8 {
        128
    }
}

/// Inverts bright values, [`solarize`], with probability `p`.
///
/// Random draws: one. Whether to apply.
#[derive(Debug, Clone)]
pub struct Solarize {
    p: f64,
    threshold: u8,
}

impl Solarize {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If `p` is not a probability.
    pub fn new(config: SolarizeConfig) -> Result<Self, ConfigError> {
        Ok(Self { p: checks::probability(config.p)?, threshold: config.threshold })
    }
}

impl Augmentation for Solarize {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        checks::bytes("solarize", input)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let act = rng.chance(self.p);
        checks::in_place(image, act, |image| solarize(image, self.threshold))
    }
}

/// Keeps `v` if it is below `threshold`, and sets it to `255 - v` otherwise, per channel.
pub fn solarize(image: &mut ByteImage, threshold: u8) {
    let rgb = &mut image.values[..];
    wide(
        #[inline(always)]
        || solarize_values(rgb, threshold),
    );
}

#[inline(always)]
fn solarize_values(values: &mut [u8], threshold: u8) {
    for v in values {
        *v = if *v < threshold { *v } else { 255 - *v };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_from_the_threshold_on_are_inverted() {
        let mut image = ByteImage::rgb(2, 1, vec![0, 127, 128, 129, 254, 255]);
        solarize(&mut image, 128);
        assert_eq!(image.values, [0, 127, 127, 126, 1, 0]);
    }
}
