//! Color jitter: random brightness, contrast, saturation and hue.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::{brighten, checks, contrast, saturate, shift_hue};

plugin_api::register! {
    dyn Augmentation {
        name: "color-jitter",
        summary: "randomly changes brightness, contrast, saturation and hue, in random order",
        source: "torchvision ColorJitter; MoCo v2 (Chen et al. 2020, arXiv:2003.04297)",
        example: "(p: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1)",
        build: |config: ColorJitterConfig, _context| ColorJitter::new(config),
    }
}

/// The config of [`ColorJitter`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColorJitterConfig {
    /// Probability of applying it. MoCo v2, v3: 0.8; MoCo v1: 1.
    #[serde(default = "ColorJitterConfig::moco_v2_p")]
    pub p: f64,
    /// Maximum relative change of brightness: 0.4 means a factor of 0.6-1.4. MoCo v1, v2, v3: 0.4.
    #[serde(default = "ColorJitterConfig::torchvision_amount")]
    pub brightness: f64,
    /// Maximum relative change of contrast. MoCo v1, v2, v3: 0.4.
    #[serde(default = "ColorJitterConfig::torchvision_amount")]
    pub contrast: f64,
    /// Maximum relative change of saturation. MoCo v1, v2: 0.4; v3: 0.2.
    #[serde(default = "ColorJitterConfig::torchvision_amount")]
    pub saturation: f64,
    /// Maximum shift of the hue, as a share of the color circle, 0-0.5. MoCo v2, v3: 0.1; v1: 0.4.
    #[serde(default = "ColorJitterConfig::torchvision_amount")]
    pub hue: f64,
}

impl ColorJitterConfig {
    fn moco_v2_p() -> f64 {
        0.8
    }

    fn torchvision_amount() -> f64 {
        0.0
    }
}

/// Applies [`brighten`], [`contrast`], [`saturate`] and [`shift_hue`] in random order, together with probability `p`.
///
/// A factor is uniform in `[max(0, 1 - amount), 1 + amount)`, the hue shift in `[-amount, amount)`. An amount of 0
/// turns the operation off.
///
/// Random draws: eight. Whether to apply; three for the order; the factors of brightness, contrast and saturation; the
/// hue shift.
#[derive(Debug, Clone)]
pub struct ColorJitter {
    config: ColorJitterConfig,
}

impl ColorJitter {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If `p` is not a probability, an amount is negative, or the hue's is above 0.5.
    pub fn new(config: ColorJitterConfig) -> Result<Self, ConfigError> {
        checks::probability(config.p)?;
        let amounts = [
            ("brightness", config.brightness),
            ("contrast", config.contrast),
            ("saturation", config.saturation),
        ];
        for (field, amount) in amounts {
            if !(amount >= 0.0 && amount.is_finite()) {
                return Err(ConfigError::field(field, amount, "it must be 0 or more"));
            }
        }
        if !(0.0..=0.5).contains(&config.hue) {
            return Err(ConfigError::field("hue", config.hue, "it must be from 0 to 0.5"));
        }
        Ok(Self { config })
    }
}

impl Augmentation for ColorJitter {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        checks::rgb("color-jitter", input)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let act = rng.chance(self.config.p);
        let jitter = Jitter::draw(&self.config, rng);
        checks::in_place(image, act, |image| jitter.apply(image))
    }
}

/// The draws for one image; `None` if the amount is 0.
struct Jitter {
    order: Vec<usize>,
    brightness: Option<f32>,
    contrast: Option<f32>,
    saturation: Option<f32>,
    turn: Option<f64>,
}

impl Jitter {
    fn draw(config: &ColorJitterConfig, rng: &mut Rng) -> Self {
        let order = rng.permutation(4);
        let mut factor = |amount: f64| {
            let factor = rng.uniform((1.0 - amount).max(0.0), 1.0 + amount);
            (amount > 0.0).then_some(factor as f32)
        };
        Self {
            order,
            brightness: factor(config.brightness),
            contrast: factor(config.contrast),
            saturation: factor(config.saturation),
            turn: Some(rng.uniform(-config.hue, config.hue)).filter(|_| config.hue > 0.0),
        }
    }

    fn apply(&self, image: &mut ByteImage) {
        for step in &self.order {
            match step {
                0 => self.brightness.into_iter().for_each(|factor| brighten(image, factor)),
                1 => self.contrast.into_iter().for_each(|factor| contrast(image, factor)),
                2 => self.saturation.into_iter().for_each(|factor| saturate(image, factor)),
                _ => self.turn.into_iter().for_each(|turn| shift_hue(image, turn)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(amount: f64) -> ColorJitterConfig {
        ColorJitterConfig {
            p: 1.0,
            brightness: amount,
            contrast: amount,
            saturation: amount,
            hue: amount / 4.0,
        }
    }

    #[test]
    fn factors_stay_in_their_range_and_every_order_comes_up() {
        let mut orders = std::collections::HashSet::new();
        for seed in 0..500 {
            let jitter = Jitter::draw(&config(0.4), &mut Rng::new(seed, "jitter", &[]));
            for factor in [jitter.brightness, jitter.contrast, jitter.saturation] {
                assert!((0.6..=1.4).contains(&factor.unwrap()));
            }
            assert!((-0.1..0.1).contains(&jitter.turn.unwrap()));
            orders.insert(jitter.order);
        }
        assert_eq!(orders.len(), 24);
    }

    #[test]
    fn a_factor_is_never_negative() {
        for seed in 0..100 {
            let jitter = Jitter::draw(&config(2.0), &mut Rng::new(seed, "jitter", &[]));
            assert!(jitter.brightness.unwrap() >= 0.0);
        }
    }

    #[test]
    fn amounts_of_zero_change_nothing() {
        let image = ByteImage::rgb(2, 2, (100..112).collect());
        let jitter = ColorJitter::new(config(0.0)).unwrap();
        let after = jitter.apply(Image::Bytes(image.clone()), &mut Rng::new(0, "jitter", &[]));
        assert_eq!(after, Image::Bytes(image));
    }

    #[test]
    fn the_next_step_draws_the_same_whether_or_not_this_one_acts() {
        let next = |p: f64, amount: f64| {
            let mut rng = Rng::new(3, "view", &[1]);
            let image = ByteImage::rgb(1, 1, vec![1, 2, 3]);
            ColorJitter::new(ColorJitterConfig { p, ..config(amount) })
                .unwrap()
                .apply(Image::Bytes(image), &mut rng);
            rng.bits()
        };
        assert_eq!(next(0.0, 0.4), next(1.0, 0.4));
        assert_eq!(next(1.0, 0.0), next(1.0, 0.4));
    }

    #[test]
    fn amounts_out_of_range_are_refused_by_name() {
        let refused = |config| ColorJitter::new(config).unwrap_err().to_string();
        assert_eq!(
            refused(ColorJitterConfig { hue: 0.6, ..config(0.4) }),
            "`hue` is 0.6, but it must be from 0 to 0.5"
        );
        assert_eq!(
            refused(ColorJitterConfig { contrast: -0.1, ..config(0.4) }),
            "`contrast` is -0.1, but it must be 0 or more"
        );
    }
}
