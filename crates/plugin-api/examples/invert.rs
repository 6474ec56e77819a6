//! A whole plugin: an augmentation that inverts an image now and then.

// ANCHOR: plugin
use plugin_api::{Augmentation, AugmentationContext, ConfigError, Plugin};
use plugin_api::{Image, ImageShape, ImageValues, Rng};

inventory::submit! {
    Plugin::<dyn Augmentation> {
        name: "invert",
        summary: "255 - value, with probability p",
        source: "an example",
        example: "(p: 0.1)",
        schema: || schemars::schema_for!(InvertConfig),
        build: |config, AugmentationContext| Ok(Box::new(Invert::new(config.parse()?)?)),
    }
}

/// The fields are what `moco plugins invert` shows.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct InvertConfig {
    /// The probability of acting, 0 to 1.
    p: f64,
}

struct Invert {
    p: f64,
}

impl Invert {
    fn new(config: InvertConfig) -> Result<Self, ConfigError> {
        if !(0.0..=1.0).contains(&config.p) {
            return Err(ConfigError::field("p", config.p, "a probability is from 0 to 1"));
        }
        Ok(Self { p: config.p })
    }
}

impl Augmentation for Invert {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        match input.values {
            ImageValues::Bytes => Ok(input),
            ImageValues::Floats => Err(ConfigError::unfit(
                "`invert` works on bytes, but `normalize` before it has made floats of them",
                "`normalize` must be the last step of a view",
            )),
        }
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let act = rng.chance(self.p);
        match image {
            Image::Bytes(mut image) if act => {
                image.rgb.iter_mut().for_each(|value| *value = 255 - *value);
                Image::Bytes(image)
            }
            other => other,
        }
    }
}

// ANCHOR_END: plugin
fn main() -> Result<(), ConfigError> {
    let config = plugin_api::Config::new("(p: 1.0)");
    let invert = plugin_api::build::<dyn Augmentation>("invert", config, &AugmentationContext)?;
    let image = plugin_api::ByteImage { width: 1, height: 1, rgb: vec![0, 1, 255] };
    let inverted = plugin_api::ByteImage { rgb: vec![255, 254, 0], ..image.clone() };
    let given = invert.apply(Image::Bytes(image), &mut Rng::new(0, "an example", &[]));
    assert_eq!(given, Image::Bytes(inverted));
    Ok(())
}
