//! Channels that are left out.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::checks;

plugin_api::register! {
    dyn Augmentation {
        name: "channel-drop",
        summary: "randomly sets whole channels to 0, so that the encoder does not rely on any",
        source: "albumentations ChannelDropout",
        example: "(p: 0.2)",
        build: |config: ChannelDropConfig, _context| ChannelDrop::new(config),
    }
}

/// The config of [`ChannelDrop`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelDropConfig {
    /// Probability of applying it. albumentations: 0.5.
    pub p: f64,
    /// Minimum and maximum number of channels to drop, fewer than the images have. albumentations: (1, 1).
    pub channels: (usize, usize),
    /// What a dropped channel has everywhere, from 0 to 255. albumentations: 0.
    pub value: u8,
}

/// albumentations'.
impl Default for ChannelDropConfig {
    fn default() -> Self {
        Self { p: 0.5, channels: (1, 1), value: 0 }
    }
}

/// Sets a number of channels, uniform in `channels`, to one value, with probability `p`. Every set of so many channels is as
/// likely.
///
/// Random draws: one more than the images have channels. Whether to apply; how many; and an order of the channels, of which
/// the first ones are dropped.
#[derive(Debug, Clone)]
pub struct ChannelDrop {
    config: ChannelDropConfig,
}

impl ChannelDrop {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If `p` is not a probability, or `channels` is not a range from 1.
    pub fn new(config: ChannelDropConfig) -> Result<Self, ConfigError> {
        checks::probability(config.p)?;
        let (least, most) = config.channels;
        if least == 0 || least > most {
            let must = "the first must be at least 1 and not exceed the second";
            return Err(ConfigError::field("channels", format!("({least}, {most})"), must));
        }
        Ok(Self { config })
    }
}

impl Augmentation for ChannelDrop {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        let input = checks::bytes("channel-drop", input)?;
        let most = self.config.channels.1;
        if most < input.channels {
            return Ok(input);
        }
        Err(ConfigError::unfit(
            format!(
                "`channel-drop` may drop {most} of the images' channels, and there are {}",
                input.channels
            ),
            "at least one must be left: write a smaller `channels: (1, 1)`, or remove the step",
        ))
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let (least, most) = self.config.channels;
        let act = rng.chance(self.config.p);
        let n_dropped = least + rng.below(most - least + 1);
        let n_channels = match &image {
            Image::Bytes(image) => image.channels,
            Image::Floats(image) => image.channels,
        };
        let order = rng.permutation(n_channels);
        checks::in_place(image, act, |image| {
            order.iter().take(n_dropped).for_each(|channel| drop_channel(image, *channel, self.config.value));
        })
    }
}

/// Sets channel number `channel`, from 0, to `value`.
pub fn drop_channel(image: &mut ByteImage, channel: usize, value: u8) {
    image.values.iter_mut().skip(channel).step_by(image.channels).for_each(|dropped| *dropped = value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::ImageValues;

    #[test]
    fn as_many_channels_as_asked_for_are_dropped_each_as_often() {
        let config = ChannelDropConfig { p: 1.0, channels: (1, 3), value: 9 };
        let drop = ChannelDrop::new(config).unwrap();
        let image = ByteImage { width: 2, height: 1, channels: 5, values: (100..110).collect() };
        let (mut of_channel, mut of_number) = ([0; 5], [0; 6]);
        for i in 0..6000 {
            let given = drop.apply(Image::Bytes(image.clone()), &mut Rng::new(i, "drop", &[]));
            let Image::Bytes(given) = given else { panic!("bytes stay bytes") };
            let is_dropped = |c: usize| given.values[c] == 9 && given.values[5 + c] == 9;
            let is_kept = |c: usize| [given.values[c], given.values[5 + c]] == [100 + c as u8, 105 + c as u8];
            assert!((0..5).all(|c| is_dropped(c) != is_kept(c)));
            (0..5).filter(|c| is_dropped(*c)).for_each(|c| of_channel[c] += 1);
            of_number[(0..5).filter(|c| is_dropped(*c)).count()] += 1;
        }
        assert!(of_number[1..4].iter().all(|n| (1850..2150).contains(n)), "{of_number:?}");
        assert!(of_channel.iter().all(|n| (2250..2550).contains(n)), "{of_channel:?}");
    }

    #[test]
    fn one_channel_must_be_left() {
        let output = |channels, n| {
            let drop =
                ChannelDrop::new(ChannelDropConfig { channels, ..ChannelDropConfig::default() }).unwrap();
            drop.output(ImageShape { size: None, channels: n, values: ImageValues::Bytes })
        };
        assert!(output((1, 3), 4).is_ok());
        let error = output((1, 1), 1).unwrap_err();
        assert_eq!(error.to_string(), "`channel-drop` may drop 1 of the images' channels, and there are 1");
        let refused =
            ChannelDrop::new(ChannelDropConfig { channels: (0, 2), ..ChannelDropConfig::default() });
        assert!(refused.unwrap_err().to_string().contains("the first must be at least 1"));
    }
}
