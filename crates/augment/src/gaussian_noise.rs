//! Gaussian noise.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::{checks, one_or_two};

plugin_api::register! {
    dyn Augmentation {
        name: "gaussian-noise",
        summary: "randomly adds noise to each value",
        source: "torchvision v2 GaussianNoise",
        example: "(p: 0.5, sigma: (0.0, 0.1))",
        build: |config: GaussianNoiseConfig, _context| GaussianNoise::new(config),
    }
}

/// The config of [`GaussianNoise`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GaussianNoiseConfig {
    /// Probability of applying it. torchvision: 1.
    pub p: f64,
    /// Standard deviation, for values scaled to 0-1: the least and the most, or one number for both. torchvision: 0.1.
    #[serde(deserialize_with = "one_or_two::of")]
    #[schemars(schema_with = "one_or_two::schema")]
    pub sigma: (f64, f64),
}

/// torchvision's.
impl Default for GaussianNoiseConfig {
    fn default() -> Self {
        Self { p: 1.0, sigma: (0.1, 0.1) }
    }
}

/// Adds normal noise of a standard deviation uniform in `sigma`, [`add_noise`], with probability `p`.
///
/// Random draws: three. Whether to apply; the standard deviation; the key of the noise.
#[derive(Debug, Clone)]
pub struct GaussianNoise {
    config: GaussianNoiseConfig,
}

impl GaussianNoise {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If `p` is not a probability, or `sigma` is not a range from 0 to 1.
    pub fn new(config: GaussianNoiseConfig) -> Result<Self, ConfigError> {
        checks::probability(config.p)?;
        let must = "the first must not exceed the second, and both must be from 0 to 1";
        checks::range("sigma", config.sigma, (0.0, 1.0), must)?;
        Ok(Self { config })
    }
}

impl Augmentation for GaussianNoise {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        checks::bytes("gaussian-noise", input)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let act = rng.chance(self.config.p);
        let sigma = rng.uniform(self.config.sigma.0, self.config.sigma.1);
        let key = rng.bits();
        checks::in_place(image, act, |image| {
            let mut noise = Rng::new(key, "gaussian noise", &[]);
            add_noise(image, sigma as f32, || noise.normal() as f32);
        })
    }
}

/// Adds `255 sigma` times what `normal` gives to each value, rounded towards 0, and clips the sum.
pub fn add_noise(image: &mut ByteImage, sigma: f32, mut normal: impl FnMut() -> f32) {
    let scale = (f64::from(sigma) * 255.0) as f32;
    for value in &mut image.values {
        let noise = (normal() * scale) as i32;
        *value = i32::from(*value).saturating_add(noise).clamp(0, 255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_cut_off_and_sums_are_clipped() {
        let mut image = ByteImage::rgb(2, 1, vec![100, 100, 100, 3, 250, 0]);
        let mut normal = [0.15, -0.15, 0.0, -1.0, 1.0, f32::INFINITY].into_iter();
        add_noise(&mut image, 0.1, || normal.next().unwrap());
        assert_eq!(image.values, [103, 97, 100, 0, 255, 255]);
    }

    #[test]
    fn noise_has_the_deviation_asked_for_and_a_key_of_its_own() {
        let noise = GaussianNoise::new(GaussianNoiseConfig { p: 1.0, sigma: (0.1, 0.1) }).unwrap();
        let image = ByteImage { width: 100, height: 50, channels: 4, values: vec![128; 20_000] };
        let apply = |seed| {
            let mut rng = Rng::new(seed, "noise", &[]);
            let Image::Bytes(image) = noise.apply(Image::Bytes(image.clone()), &mut rng) else {
                panic!("bytes stay bytes")
            };
            image.values
        };
        let values = apply(1);
        let squares: f64 = values.iter().map(|value| (f64::from(*value) - 128.0).powi(2)).sum();
        // Cut off towards 0, which takes about half a level.
        assert!((24.0..26.0).contains(&(squares / 20_000.0).sqrt()));
        assert_eq!(values, apply(1));
        assert_ne!(values, apply(2));
    }

    #[test]
    fn a_number_is_a_range_of_one_value() {
        let sigma =
            |text: &str| plugin_api::parse_ron::<GaussianNoiseConfig>(text).map(|config| config.sigma);
        assert_eq!(sigma("(sigma: 0.1)").unwrap(), (0.1, 0.1));
        assert_eq!(
            (sigma("(sigma: 1)").unwrap(), sigma("(sigma: (0, 0.2))").unwrap()),
            ((1.0, 1.0), (0.0, 0.2))
        );
        assert!(sigma("(sigma: (0.1))").is_err() && sigma("(sigma: \"much\")").is_err());
    }

    #[test]
    fn a_deviation_out_of_range_is_refused() {
        let error = GaussianNoise::new(GaussianNoiseConfig { p: 1.0, sigma: (0.1, 25.0) }).unwrap_err();
        assert!(error.to_string().starts_with("`sigma` is (0.1, 25), but"), "{error}");
    }
}
