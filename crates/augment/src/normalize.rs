//! Converts bytes to normalized floats.

use plugin_api::{
    Augmentation, ByteImage, ConfigError, FloatImage, Image, ImageShape, ImageValues, MAX_CHANNELS,
    Normalization, Rng,
};

use crate::per_channel::PerChannel;

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
    /// Mean and standard deviation: `ImageNet`, `Cifar10`, `Cifar10Demo`, all three of red, green and blue, or
    /// `Custom(mean: [..], std: [..])` with a value for each channel of the images.
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
        /// Mean of each channel: `(r, g, b)` or `[..]`.
        mean: PerChannel,
        /// Standard deviation of each channel.
        std: PerChannel,
    },
}

impl Statistics {
    /// Mean and standard deviation of each channel.
    pub fn values(&self) -> (Vec<f32>, Vec<f32>) {
        let (mean, std) = match self {
            Self::ImageNet => ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            Self::Cifar10 => ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
            Self::Cifar10Demo => ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
            Self::Custom { mean, std } => return (mean.0.clone(), std.0.clone()),
        };
        (mean.to_vec(), std.to_vec())
    }
}

fn count(n_channels: usize) -> String {
    if n_channels == 1 { "1 channel".into() } else { format!("{n_channels} channels") }
}

/// `(v / 255 - mean) / std`.
///
/// Random draws: none.
#[derive(Debug, Clone)]
pub struct Normalize {
    normalization: Normalization,
    /// The float for every byte, per channel.
    tables: Vec<[f32; 256]>,
}

impl Normalize {
    /// The step for `config`.
    ///
    /// # Errors
    /// If there are not as many means as standard deviations, from 1 to 16, a mean is not finite, or a standard deviation is
    /// not positive.
    pub fn new(config: NormalizeConfig) -> Result<Self, ConfigError> {
        let (mean, std) = config.statistics.values();
        if !(1..=MAX_CHANNELS).contains(&mean.len()) {
            let (value, must) =
                (format!("{} values", mean.len()), format!("it must be from 1 to {MAX_CHANNELS}"));
            return Err(ConfigError::field("statistics.mean", value, must));
        }
        if std.len() != mean.len() {
            let must = format!("it must be as many as `mean` has, {}", mean.len());
            return Err(ConfigError::field("statistics.std", format!("{} values", std.len()), must));
        }
        if let Some(mean) = mean.iter().find(|mean| !mean.is_finite()) {
            return Err(ConfigError::field("statistics.mean", mean, "it must be finite"));
        }
        if let Some(std) = std.iter().find(|std| !(**std > 0.0 && std.is_finite())) {
            return Err(ConfigError::field("statistics.std", std, "it must be above 0"));
        }
        let table = |(mean, std): (&f32, &f32)| std::array::from_fn(|v| (v as f32 / 255.0 - mean) / std);
        let tables = mean.iter().zip(&std).map(table).collect();
        Ok(Self { normalization: Normalization { mean, std }, tables })
    }

    /// The normalized image.
    pub fn normalize(&self, image: &ByteImage) -> FloatImage {
        let mut values = vec![0.0; image.values.len()];
        match &*self.tables {
            [red, green, blue] if image.channels == 3 => {
                let pixels = image.values.as_chunks::<3>().0;
                for (out, [r, g, b]) in values.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    *out = [red[usize::from(*r)], green[usize::from(*g)], blue[usize::from(*b)]];
                }
            }
            tables => {
                let pixels = image.values.chunks_exact(image.channels);
                for (out, pixel) in values.chunks_exact_mut(image.channels).zip(pixels) {
                    for ((value, byte), table) in out.iter_mut().zip(pixel).zip(tables) {
                        *value = table[usize::from(*byte)];
                    }
                }
            }
        }
        FloatImage { width: image.width, height: image.height, channels: image.channels, values }
    }
}

impl Augmentation for Normalize {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        match input.values {
            ImageValues::Bytes if input.channels == self.tables.len() => {
                Ok(ImageShape { values: ImageValues::Floats, ..input })
            }
            ImageValues::Bytes => Err(ConfigError::unfit(
                format!(
                    "`normalize` has statistics of {}, but the images have {}",
                    count(self.tables.len()),
                    input.channels
                ),
                "write `statistics: Custom(mean: [..], std: [..])` with a value for each channel of the images",
            )),
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
        Some(self.normalization.clone())
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
    fn any_number_of_channels_has_statistics() {
        let step = build("(statistics: Custom(mean: [0.0, 0.5, 1.0, 0.5], std: [1, 0.5, 2, 1]))").unwrap();
        let image = ByteImage { width: 1, height: 1, channels: 4, values: vec![255; 4] };
        assert_eq!(step.normalize(&image).values, [1.0, 1.0, 0.0, 0.5]);
        let shape = ImageShape { size: None, channels: 3, values: ImageValues::Bytes };
        let error = step.output(shape).unwrap_err();
        assert_eq!(error.to_string(), "`normalize` has statistics of 4 channels, but the images have 3");
        let gray = build("(statistics: Custom(mean: [0.5], std: [0.5]))").unwrap();
        let image = ByteImage { width: 3, height: 1, channels: 1, values: vec![0, 51, 255] };
        assert_eq!(gray.normalize(&image).values, [-1.0, -0.6, 1.0]);
    }

    #[test]
    fn means_and_deviations_go_together() {
        let refused =
            |statistics: &str| build(&format!("(statistics: Custom({statistics}))")).unwrap_err().to_string();
        assert_eq!(
            refused("mean: [0, 0], std: [1, 1, 1]"),
            "`statistics.std` is 3 values, but it must be as many as `mean` has, 2"
        );
        assert!(refused("mean: [], std: []").contains("is 0 values, but it must be from 1 to 16"));
        let many = "0.5, ".repeat(17);
        assert!(refused(&format!("mean: [{many}], std: [{many}]")).contains("is 17 values"));
        assert!(
            refused("mean: 0.5, std: 1").contains("expected a number for each channel"),
            "{}",
            refused("mean: 0.5, std: 1")
        );
    }

    #[test]
    fn a_deviation_of_zero_is_refused() {
        let error = build("(statistics: Custom(mean: (0, 0, 0), std: (1, 0, 1)))").unwrap_err();
        assert_eq!(error.to_string(), "`statistics.std` is 0, but it must be above 0");
    }
}
