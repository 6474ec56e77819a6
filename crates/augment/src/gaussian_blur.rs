//! Gaussian blur, approximated by three box blurs as in Pillow.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::box_blur::BoxKernel;
use crate::{checks, one_or_two};

/// The number of box blurs in each direction; Pillow's number.
const N_PASSES: usize = 3;

/// The largest standard deviation, in pixels; its box stays below [`BoxKernel::MAX_RADIUS`].
const MAX_SIGMA: f64 = 100.0;

plugin_api::register! {
    dyn Augmentation {
        name: "gaussian-blur",
        summary: "randomly blurs the image",
        source: "Pillow ImageFilter.GaussianBlur; MoCo v2 (Chen et al. 2020, arXiv:2003.04297)",
        example: "(p: 0.5, sigma: (0.1, 2.0))",
        build: |config: GaussianBlurConfig, _context| GaussianBlur::new(config),
    }
}

/// The config of [`GaussianBlur`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GaussianBlurConfig {
    /// Probability of applying it. MoCo v2: 0.5; v3: 1 in its first view, 0.1 in its second.
    #[serde(default = "GaussianBlurConfig::moco_v2_p")]
    pub p: f64,
    /// Standard deviation, in pixels: the least and the most, or one number for both. MoCo v2, v3: (0.1, 2.0).
    #[serde(default = "GaussianBlurConfig::moco_sigma", deserialize_with = "one_or_two::of")]
    #[schemars(schema_with = "one_or_two::schema")]
    pub sigma: (f64, f64),
}

impl GaussianBlurConfig {
    fn moco_v2_p() -> f64 {
        0.5
    }

    fn moco_sigma() -> (f64, f64) {
        (0.1, 2.0)
    }
}

/// [`gaussian_blur`] with a standard deviation uniform in `sigma`, with probability `p`.
///
/// Random draws: two. Whether to apply; the standard deviation.
#[derive(Debug, Clone)]
pub struct GaussianBlur {
    p: f64,
    sigma: (f64, f64),
}

impl GaussianBlur {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If `p` is not a probability, or `sigma` is not a range from 0 to 100.
    pub fn new(config: GaussianBlurConfig) -> Result<Self, ConfigError> {
        let must = "the first must not exceed the second, and both must be from 0 to 100";
        Ok(Self {
            p: checks::probability(config.p)?,
            sigma: checks::range("sigma", config.sigma, (0.0, MAX_SIGMA), must)?,
        })
    }
}

impl Augmentation for GaussianBlur {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        checks::bytes("gaussian-blur", input)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let act = rng.chance(self.p);
        let sigma = rng.uniform(self.sigma.0, self.sigma.1);
        checks::in_place(image, act, |image| gaussian_blur(image, sigma as f32))
    }
}

/// Three extended box blurs (Gwosdek et al. 2011) along the rows, then three along the columns, rounded to bytes after
/// each. Beyond the border, the outermost pixels are repeated. `sigma` is in pixels; values above 100 count as 100.
pub fn gaussian_blur(image: &mut ByteImage, sigma: f32) {
    let radius = box_radius(sigma.min(MAX_SIGMA as f32));
    debug_assert!(radius < BoxKernel::MAX_RADIUS);
    if radius > 0.0 {
        BoxKernel::new(radius).blur(image, N_PASSES);
    }
}

/// The radius, with its fraction, of the box whose `N_PASSES`-fold blur has the variance `sigma²` (Gwosdek et al.
/// 2011).
fn box_radius(sigma: f32) -> f32 {
    let variance = sigma * sigma / N_PASSES as f32;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32; // Of the ideal box, a real number.
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32; // The radius of the largest discrete box within it.
    let numerator = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    let denominator = 6.0 * (variance - (whole + 1.0) * (whole + 1.0));
    whole + numerator / denominator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extended_box_has_the_variance_asked_for() {
        for sigma in [0.1, 0.5, 1.0, 2.0, 5.0_f64] {
            let radius = f64::from(box_radius(sigma as f32));
            let whole = radius.floor();
            let share = radius - whole; // The weight of the two outermost pixels.
            let squares: f64 = (1..=whole as u32).map(|i| 2.0 * f64::from(i * i)).sum();
            let variance = (squares + 2.0 * share * (whole + 1.0).powi(2)) / (2.0 * radius + 1.0);
            assert!((3.0 * variance - sigma * sigma).abs() < 1e-4 * sigma * sigma, "{sigma}: {variance}");
        }
    }

    #[test]
    fn a_flat_image_stays_as_it_is() {
        for sigma in [0.0, 0.1, 1.0, 2.0, 9.0, 1e9] {
            let mut image = ByteImage::rgb(5, 3, [7, 128, 255].repeat(15));
            gaussian_blur(&mut image, sigma);
            assert_eq!(image.values, [7, 128, 255].repeat(15), "{sigma}");
        }
    }

    #[test]
    fn a_point_spreads_evenly_in_both_directions() {
        let mut image = ByteImage::rgb(15, 15, vec![0; 15 * 15 * 3]);
        image.values[(7 * 15 + 7) * 3 + 1] = 255;
        gaussian_blur(&mut image, 1.5);
        let at = |x: usize, y: usize| image.values[(y * 15 + x) * 3 + 1];
        assert!(at(7, 7) > at(8, 7) && at(8, 7) > at(9, 7) && at(9, 7) > 0);
        for y in 0..15 {
            for x in 0..15 {
                assert_eq!(at(x, y), at(14 - x, 14 - y));
                assert!(at(x, y).abs_diff(at(y, x)) <= 1);
            }
        }
        assert!(image.values.iter().step_by(3).all(|&red| red == 0));
    }
}
