//! The augmentation `__name__`.
__crate_attributes__
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{Augmentation, ConfigError, Image, ImageShape, ImageValues, Rng};

plugin_api::register! {
    dyn Augmentation {
        name: "__name__",
        summary: "randomly inverts all values of the image",
        source: "",
        example: "(p: 0.5)",
        build: |config: __Name__Config, _context| __Name__::new(config),
    }
}

/// The config of [`__Name__`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct __Name__Config {
    /// Probability of applying it.
    pub p: f64,
}

/// Turns each value `v` into `255 - v`, with probability `p`.
///
/// Random draws: one. Whether to apply.
#[derive(Debug, Clone)]
pub struct __Name__ {
    config: __Name__Config,
}

impl __Name__ {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If `p` is not a probability.
    pub fn new(config: __Name__Config) -> Result<Self, ConfigError> {
        if !(0.0..=1.0).contains(&config.p) {
            return Err(ConfigError::field("p", config.p, "it must be from 0 to 1"));
        }
        Ok(Self { config })
    }
}

impl Augmentation for __Name__ {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        match input.values {
            ImageValues::Bytes => Ok(input),
            ImageValues::Floats => {
                Err(ConfigError::unfit("`__name__` works on bytes", "put it before `normalize`"))
            }
        }
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        // Drawn in any case: an augmentation makes as many draws whether it acts or not.
        let act = rng.chance(self.config.p);
        match image {
            Image::Bytes(mut image) if act => {
                image.values.iter_mut().for_each(|value| *value = 255 - *value);
                Image::Bytes(image)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::ByteImage;

    use super::*;

    #[test]
    fn the_contract_is_kept() {
        plugin_tests::check_augmentation("__name__");
        plugin_tests::check_augmentation_with("__name__", "(p: 1.0)");
    }

    #[test]
    fn black_becomes_white() {
        let always = __Name__::new(__Name__Config { p: 1.0 }).unwrap();
        let image = Image::Bytes(ByteImage::rgb(1, 1, vec![0, 255, 100]));
        let inverted = always.apply(image, &mut Rng::new(0, "test", &[]));
        assert_eq!(inverted, Image::Bytes(ByteImage::rgb(1, 1, vec![255, 0, 155])));
    }

    #[test]
    fn a_probability_above_1_is_refused() {
        assert!(__Name__::new(__Name__Config { p: 1.5 }).is_err());
    }
}
