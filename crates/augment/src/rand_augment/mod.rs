//! RandAugment: some operations of a fixed list, drawn for each image.

mod affine;
mod sharpness;
mod tables;

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

pub use self::affine::{rotate, shear_horizontally, shear_vertically, translate};
pub use self::sharpness::sharpen;
pub use self::tables::{add_to_dark, equalize, invert, posterize, solarize_from, stretch_contrast};
use crate::{brighten, checks, contrast, saturate};

plugin_api::register! {
    dyn Augmentation {
        name: "rand-augment",
        summary: "applies some operations on color and geometry, drawn for each image",
        source: "RandAugment (Cubuk et al. 2019, arXiv:1909.13719) as timm's `rand-m9-mstd0.5-inc1`",
        example: "(magnitude: 9, magnitude_std: 0.5)",
        build: |config: RandAugmentConfig, _context| RandAugment::new(config),
    }
}

/// The config of [`RandAugment`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandAugmentConfig {
    /// Strength of the operations, from 0 to 10. DeiT, MAE: 9.
    pub magnitude: f64,
    /// Standard deviation of the strength, which is drawn for each operation. DeiT, MAE: 0.5.
    pub magnitude_std: f64,
    /// Operations drawn for an image, which may be the same twice. DeiT, MAE: 2.
    pub n_ops: usize,
    /// Probability of applying each operation that was drawn. timm: 0.5.
    pub p: f64,
    /// Red, green and blue of what comes into the image from outside, from 0 to 255. timm: the mean that images are normalized
    /// by.
    pub fill: (u8, u8, u8),
}

/// DeiT's, with ImageNet's mean.
impl Default for RandAugmentConfig {
    fn default() -> Self {
        Self { magnitude: 9.0, magnitude_std: 0.5, n_ops: 2, p: 0.5, fill: (124, 116, 104) }
    }
}

/// The strength at which an operation has its full effect.
const FULL: f64 = 10.0;

/// More operations than this on one image are a typo.
const MAX_OPS: usize = 16;

/// The operations, in timm's order for `inc1`: each is stronger with a higher magnitude.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    StretchContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    Solarize,
    AddToDark,
    Saturation,
    Contrast,
    Brightness,
    Sharpness,
    ShearHorizontally,
    ShearVertically,
    TranslateHorizontally,
    TranslateVertically,
}

const OPERATIONS: [Operation; 15] = [
    Operation::StretchContrast,
    Operation::Equalize,
    Operation::Invert,
    Operation::Rotate,
    Operation::Posterize,
    Operation::Solarize,
    Operation::AddToDark,
    Operation::Saturation,
    Operation::Contrast,
    Operation::Brightness,
    Operation::Sharpness,
    Operation::ShearHorizontally,
    Operation::ShearVertically,
    Operation::TranslateHorizontally,
    Operation::TranslateVertically,
];

/// Applies `n_ops` operations, each with probability `p`: stretched contrast, equalization, inversion, rotation, fewer bits,
/// solarization from a threshold, a sum on dark values, saturation, contrast, brightness, sharpness, shear and translation
/// along either axis.
///
/// Its strength is normal around `magnitude` with `magnitude_std`, cut to 0-10. At 10, rotations are by 30 degrees, shears by
/// 0.3, translations by 45 % of the side, and factors of color are 0.1 and 1.9. Where an operation has a direction, both are
/// equally likely. Geometry is interpolated by Pillow's bicubic filter.
///
/// Random draws: five for each operation. Which one; whether to apply it; two for the strength; the direction.
#[derive(Debug, Clone)]
pub struct RandAugment {
    config: RandAugmentConfig,
}

impl RandAugment {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If `p` is not a probability, a magnitude is out of range, or there are too many operations.
    pub fn new(config: RandAugmentConfig) -> Result<Self, ConfigError> {
        checks::probability(config.p)?;
        if !(0.0..=FULL).contains(&config.magnitude) {
            return Err(ConfigError::field("magnitude", config.magnitude, "it must be from 0 to 10"));
        }
        if !(0.0..=FULL).contains(&config.magnitude_std) {
            return Err(ConfigError::field("magnitude_std", config.magnitude_std, "it must be from 0 to 10"));
        }
        if !(1..=MAX_OPS).contains(&config.n_ops) {
            let must = format!("it must be from 1 to {MAX_OPS}");
            return Err(ConfigError::field("n_ops", config.n_ops, must));
        }
        Ok(Self { config })
    }
}

impl Augmentation for RandAugment {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        checks::rgb("rand-augment", input)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let RandAugmentConfig { magnitude, magnitude_std, n_ops, p, fill } = self.config;
        let fill = [fill.0, fill.1, fill.2];
        (0..n_ops).fold(image, |image, _| {
            let operation = OPERATIONS[rng.below(OPERATIONS.len())];
            let act = rng.chance(p);
            let strength = (magnitude + magnitude_std * rng.normal()).clamp(0.0, FULL);
            let sign = if rng.chance(0.5) { 1.0 } else { -1.0 };
            if act {
                checks::on_bytes(image, |image| operation.apply(image, strength / FULL, sign, &fill))
            } else {
                image
            }
        })
    }
}

impl Operation {
    /// `share`: the strength, from 0 to 1.
    fn apply(self, mut image: ByteImage, share: f64, sign: f64, fill: &[u8]) -> ByteImage {
        match self {
            Self::Rotate => return rotate(&image, sign * degrees(share), fill),
            Self::ShearHorizontally => return shear_horizontally(&image, sign * slope(share), fill),
            Self::ShearVertically => return shear_vertically(&image, sign * slope(share), fill),
            Self::TranslateHorizontally => {
                let right = sign * part_of_side(share) * image.width as f64;
                return translate(&image, (0.0, right), fill);
            }
            Self::TranslateVertically => {
                let down = sign * part_of_side(share) * image.height as f64;
                return translate(&image, (down, 0.0), fill);
            }
            Self::StretchContrast => stretch_contrast(&mut image),
            Self::Equalize => equalize(&mut image),
            Self::Invert => invert(&mut image),
            Self::Posterize => posterize(&mut image, bits(share)),
            Self::Solarize => solarize_from(&mut image, threshold(share)),
            Self::AddToDark => add_to_dark(&mut image, addend(share)),
            Self::Saturation => saturate(&mut image, color_factor(share, sign)),
            Self::Contrast => contrast(&mut image, color_factor(share, sign)),
            Self::Brightness => brighten(&mut image, color_factor(share, sign)),
            Self::Sharpness => sharpen(&mut image, color_factor(share, sign)),
        }
        image
    }
}

// From the share of the full strength to what an operation takes.

fn degrees(share: f64) -> f64 {
    share * 30.0
}

fn slope(share: f64) -> f64 {
    share * 0.3
}

fn part_of_side(share: f64) -> f64 {
    share * 0.45
}

fn bits(share: f64) -> u32 {
    4 - (share * 4.0) as u32
}

fn threshold(share: f64) -> u16 {
    256 - ((share * 256.0) as u16).min(256)
}

fn addend(share: f64) -> u8 {
    ((share * 110.0) as u8).min(128)
}

fn color_factor(share: f64, sign: f64) -> f32 {
    (1.0 + sign * share * 0.9).max(0.1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strengths_mean_what_they_mean_in_timm() {
        // from timm.data import auto_augment as aa
        // for m in (0.0, 3.7, 9.0, 10.0):
        //     print([aa.LEVEL_TO_ARG[n](m, {})[0] for n in ("Rotate", "ShearX", "TranslateXRel", "PosterizeIncreasing",
        //            "SolarizeIncreasing", "SolarizeAdd", "SharpnessIncreasing")])  # Signs are random.
        for (strength, expected, [few, limit, more]) in [
            (0.0, [0.0, 0.0, 0.0, 1.0, 1.0], [4, 256, 0]),
            (3.7, [11.1, 0.111, 0.1665, 1.333, 0.667], [3, 162, 40]),
            (9.0, [27.0, 0.27, 0.405, 1.81, 0.19], [1, 26, 99]),
            (10.0, [30.0, 0.3, 0.45, 1.9, 0.1], [0, 0, 110]),
        ] {
            let share = strength / FULL;
            let factors = [1.0, -1.0].map(|sign| f64::from(color_factor(share, sign)));
            let ours = [degrees(share), slope(share), part_of_side(share), factors[0], factors[1]];
            for (ours, expected) in ours.into_iter().zip(expected) {
                assert!((ours - expected).abs() < 1e-6, "{strength}: {ours} is not {expected}");
            }
            assert_eq!([bits(share), threshold(share).into(), addend(share).into()], [few, limit, more]);
        }
    }

    fn noise() -> ByteImage {
        ByteImage::rgb(20, 30, (0..1800_u32).map(|i| (i * 7919 % 251) as u8).collect())
    }

    #[test]
    fn every_operation_changes_an_image_and_both_directions_differ() {
        let fill = [124, 116, 104];
        let has_direction = |operation: Operation| operation as usize == 3 || operation as usize >= 7;
        for operation in OPERATIONS {
            let [one, other] = [1.0, -1.0].map(|sign| operation.apply(noise(), 0.9, sign, &fill));
            assert_eq!((one.width, one.height), (20, 30));
            // Noise has all values already, so that nothing is stretched, and equalization moves little.
            assert!(one != noise() || operation == Operation::StretchContrast, "{operation:?}");
            assert_eq!(one != other, has_direction(operation), "{operation:?}");
        }
    }

    #[test]
    fn operations_come_up_as_often_as_asked_and_draw_the_same_whatever_they_do() {
        let augment = |p: f64| RandAugment::new(RandAugmentConfig { p, ..RandAugmentConfig::default() });
        let (never, often, always) = (augment(0.0).unwrap(), augment(0.5).unwrap(), augment(1.0).unwrap());
        let mut n_changed = 0;
        for seed in 0..400 {
            let rng = || Rng::new(seed, "augment", &[]);
            let run = |augment: &RandAugment| {
                let mut rng = rng();
                (augment.apply(Image::Bytes(noise()), &mut rng), rng.bits())
            };
            let results = [run(&never), run(&often), run(&always)];
            assert!(results.iter().all(|(_, next)| *next == results[0].1));
            assert_eq!(results[0].0, Image::Bytes(noise()));
            n_changed += usize::from(results[1].0 != results[0].0);
        }
        // 3 in 4 images have an operation; one in 15 of those drawn is a stretch, which does nothing here.
        assert!((250..330).contains(&n_changed), "{n_changed}");
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let default = RandAugmentConfig::default;
        let refused = |config| RandAugment::new(config).unwrap_err().to_string();
        let magnitude = RandAugmentConfig { magnitude: 11.0, ..default() };
        assert_eq!(refused(magnitude), "`magnitude` is 11, but it must be from 0 to 10");
        assert!(
            refused(RandAugmentConfig { magnitude_std: f64::NAN, ..default() }).contains("magnitude_std")
        );
        assert!(refused(RandAugmentConfig { n_ops: 0, ..default() }).contains("`n_ops` is 0"));
        assert!(refused(RandAugmentConfig { p: 1.5, ..default() }).contains("`p` is 1.5"));
    }
}
