//! Converts bytes to normalized floats.

use plugin_api::{
    Augmentation, ByteImage, ConfigError, FloatImage, Image, ImageShape, ImageValues, Normalization, Rng,
};

plugin_api::register! {
    dyn Augmentation {
        name: "normalize",
        summary: "converts bytes to floats with mean 0 and standard deviation 1 per channel; the last step of every view",
        source: "torchvision ToTensor, Normalize",
        example: "(statistics: ImageNet)",
        build: |config: NormalizeConfig, _context| Normalize::new(config),
    }
}

/// The config of [`Normalize`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormalizeConfig {
    /// Mean and standard deviation: `ImageNet`, `Cifar10`, `Cifar10Demo` or `Custom(mean: (r, g, b), std: (r, g, b))`.
    pub statistics: Statistics,
}

/// Mean and standard deviation of a dataset per channel, for bytes scaled to 0–1.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Statistics {
    /// ImageNet: mean .485 .456 .406, std .229 .224 .225 (torchvision; MoCo v1, v2, v3).
    ImageNet,
    /// CIFAR-10: mean .4914 .4822 .4465, std .2470 .2435 .2616.
    Cifar10,
    /// CIFAR-10 with the std .2023 .1994 .2010 of MoCo's CIFAR-10 demo, the mean of the images' own standard
    /// deviations.
    Cifar10Demo,
    /// Custom values.
    Custom {
        /// Mean of red, green and blue.
        mean: [f32; 3],
        /// Standard deviation of red, green and blue.
        std: [f32; 3],
    },
}

impl Statistics {
    /// Mean and standard deviation.
    pub fn values(&self) -> ([f32; 3], [f32; 3]) {
        match *self {
            Self::ImageNet => ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            Self::Cifar10 => ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
            Self::Cifar10Demo => ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
            Self::Custom { mean, std } => (mean, std),
        }
    }
}

/// `(v / 255 - mean) / std`.
///
/// Random draws: none.
#[derive(Debug, Clone)]
pub struct Normalize {
    normalization: Normalization,
    /// The float for every byte, per channel.
    tables: Box<[[f32; 256]; 3]>,
}

impl Normalize {
    /// The step for `config`.
    ///
    /// # Errors
    /// If a mean is not finite or a standard deviation is not positive.
    pub fn new(config: NormalizeConfig) -> Result<Self, ConfigError> {
        let (mean, std) = config.statistics.values();
        if let Some(mean) = mean.into_iter().find(|mean| !mean.is_finite()) {
            return Err(ConfigError::field("statistics.mean", mean, "it must be finite"));
        }
        if let Some(std) = std.into_iter().find(|std| !(*std > 0.0 && std.is_finite())) {
            return Err(ConfigError::field("statistics.std", std, "it must be above 0"));
        }
        let table = |c: usize| std::array::from_fn(|v| (v as f32 / 255.0 - mean[c]) / std[c]);
        Ok(Self {
            normalization: Normalization { mean, std },
            tables: Box::new([table(0), table(1), table(2)]),
        })
    }

    /// The normalized image.
    pub fn normalize(&self, image: &ByteImage) -> FloatImage {
        let [red, green, blue] = &*self.tables;
        let mut values = vec![0.0; image.values.len()];
        let pixels = image.values.as_chunks::<3>().0;
        for (out, [r, g, b]) in values.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
            *out = [red[usize::from(*r)], green[usize::from(*g)], blue[usize::from(*b)]];
        }
        FloatImage { width: image.width, height: image.height, channels: image.channels, values }
    }
}

impl Augmentation for Normalize {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        match input.values {
            ImageValues::Bytes => Ok(ImageShape { values: ImageValues::Floats, ..input }),
            ImageValues::Floats => {
                Err(ConfigError::unfit("`normalize` stands twice in this view", "keep the last one"))
            }
        }
    }

    fn apply(&self, image: Image, _draws: &mut Rng) -> Image {
        match image {
            Image::Bytes(image) => Image::Floats(self.normalize(&image)),
            floats => floats,
        }
    }

    fn normalization(&self) -> Option<Normalization> {
        Some(self.normalization)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::Config;

    fn build(text: &str) -> Result<Normalize, ConfigError> {
        Normalize::new(Config::new(text).parse()?)
    }

    #[test]
    fn values_are_those_of_torchvision() {
        // T.Normalize([.485, .456, .406], [.229, .224, .225])(T.ToTensor()(image))
        let image = ByteImage::rgb(1, 1, vec![0, 128, 255]);
        let values = build("(statistics: ImageNet)").unwrap().normalize(&image).values;
        for (value, expected) in values.iter().zip([-2.117904, 0.205182, 2.64]) {
            assert!((value - expected).abs() < 1e-5, "{values:?}");
        }
    }

    #[test]
    fn statistics_may_be_given() {
        let step = build("(statistics: Custom(mean: (0.0, 0.5, 1.0), std: (1.0, 0.5, 2.0)))").unwrap();
        let image = ByteImage::rgb(1, 1, vec![255, 255, 255]);
        assert_eq!(step.normalize(&image).values, [1.0, 1.0, 0.0]);
    }

    #[test]
    fn a_deviation_of_zero_is_refused() {
        let error = build("(statistics: Custom(mean: (0, 0, 0), std: (1, 0, 1)))").unwrap_err();
        assert_eq!(error.to_string(), "`statistics.std` is 0, but it must be above 0");
    }
}
