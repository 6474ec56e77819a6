//! Random erasing.

use plugin_api::{Augmentation, ByteImage, ConfigError, FloatImage, Image, ImageShape, ImageValues, Rng};

use crate::checks;
use crate::region::{Region, RegionDraws};

plugin_api::register! {
    dyn Augmentation {
        name: "random-erasing",
        summary: "randomly erases a rectangle of the image",
        source: "torchvision RandomErasing (Zhong et al. 2017, arXiv:1708.04896)",
        example: "(p: 0.5)",
        build: |config: RandomErasingConfig, _context| RandomErasing::new(config),
    }
}

/// The config of [`RandomErasing`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandomErasingConfig {
    /// Probability of applying it. torchvision: 0.5.
    pub p: f64,
    /// Minimum and maximum area, as a share of the image. torchvision: (0.02, 0.33).
    pub scale: (f64, f64),
    /// Minimum and maximum aspect ratio (height / width) of the rectangle. torchvision: 0.3 to 3.3.
    pub ratio: (f64, f64),
    /// What is there afterwards. torchvision, on images of 0 to 1: Black.
    pub fill: Fill,
}

/// torchvision's.
impl Default for RandomErasingConfig {
    fn default() -> Self {
        Self { p: 0.5, scale: (0.02, 0.33), ratio: (0.3, 3.3), fill: Fill::Black }
    }
}

/// What is where something was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
pub enum Fill {
    /// 0 in every channel.
    Black,
    /// The image's own mean in each channel, which is about 0 after normalization.
    Mean,
    /// Random values, uniform from 0 to 255.
    Noise,
    /// Random values, standard normal, on normalized images only: this step then follows `normalize`. timm's mode `pixel`.
    Normal,
}

/// Erases a rectangle, [`erase`], with probability `p`.
///
/// The area is uniform in `scale`, and the logarithm of the aspect ratio uniform in that of `ratio`. A rectangle that is as
/// high or as wide as the image or more is drawn again, up to ten times; then nothing is erased.
///
/// Random draws: 24. Whether to apply; the position, vertical and horizontal; area and aspect ratio for each of ten
/// attempts, needed or not; the key of the noise.
#[derive(Debug, Clone)]
pub struct RandomErasing {
    config: RandomErasingConfig,
}

impl RandomErasing {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If `p` is not a probability, or a range is out of order or out of bounds.
    pub fn new(config: RandomErasingConfig) -> Result<Self, ConfigError> {
        checks::probability(config.p)?;
        let must = "the first must not exceed the second, and both must be from 0 to 1";
        checks::range("scale", config.scale, (0.0, 1.0), must)?;
        let must = "the first must not exceed the second, and both must be from 0.01 to 100";
        checks::range("ratio", config.ratio, (0.01, 100.0), must)?;
        Ok(Self { config })
    }

    /// A part of an image of `(H, W)` pixels that is neither empty nor as high or as wide as the image.
    fn draw_region(&self, (height, width): (usize, usize), rng: &mut Rng) -> Option<Region> {
        let RandomErasingConfig { scale, ratio, .. } = self.config;
        let draws = RegionDraws::new((height, width), scale, ratio, rng);
        let fits = draws.tries.into_iter().find_map(|(area, shape)| {
            let high = (area * shape).sqrt().round_ties_even() as usize;
            let wide = (area / shape).sqrt().round_ties_even() as usize;
            ((1..height).contains(&high) && (1..width).contains(&wide)).then_some((high, wide))
        });
        fits.map(|size| draws.place((height, width), size))
    }
}

impl Augmentation for RandomErasing {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        match (self.config.fill, input.values) {
            (Fill::Normal, ImageValues::Floats) => Ok(input),
            (Fill::Normal, ImageValues::Bytes) => Err(ConfigError::unfit(
                "`random-erasing` with `fill: Normal` works on normalized images, but these are bytes",
                "put it behind `normalize`, or fill by `Black`, `Mean` or `Noise`",
            )),
            _ => checks::bytes("random-erasing", input),
        }
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Image {
        let act = rng.chance(self.config.p);
        let size = match &image {
            Image::Bytes(image) => (image.height, image.width),
            Image::Floats(image) => (image.height, image.width),
        };
        let region = self.draw_region(size, rng);
        let mut noise = Rng::new(rng.bits(), "noise of random-erasing", &[]);
        let Some(region) = region.filter(|_| act) else { return image };
        match (&mut image, self.config.fill) {
            (Image::Bytes(image), Fill::Black) => erase(image, region, |_| 0),
            (Image::Bytes(image), Fill::Mean) => {
                let means = means(image);
                erase(image, region, |channel| means[channel]);
            }
            (Image::Bytes(image), Fill::Noise) => erase(image, region, |_| noise.bits() as u8),
            (Image::Floats(image), Fill::Normal) => erase_floats(image, region, || noise.normal() as f32),
            // `output` refuses them.
            (Image::Bytes(_), Fill::Normal) | (Image::Floats(_), _) => {}
        }
        image
    }
}

/// Sets each value of `region` to what `value` gives for its channel.
///
/// # Panics
/// If the region reaches beyond the image.
pub fn erase(image: &mut ByteImage, region: Region, mut value: impl FnMut(usize) -> u8) {
    let n = image.channels;
    for row in region.top..region.top + region.height {
        let start = n * (row * image.width + region.left);
        for (i, erased) in image.values[start..][..n * region.width].iter_mut().enumerate() {
            *erased = value(i % n);
        }
    }
}

fn erase_floats(image: &mut FloatImage, region: Region, mut value: impl FnMut() -> f32) {
    let n = image.channels;
    for row in region.top..region.top + region.height {
        let start = n * (row * image.width + region.left);
        image.values[start..][..n * region.width].iter_mut().for_each(|erased| *erased = value());
    }
}

/// The mean of each channel, rounded.
fn means(image: &ByteImage) -> Vec<u8> {
    let n_pixels = (image.width * image.height) as f64;
    let of_channel = |c: usize| {
        let sum: u64 =
            image.values.iter().skip(c).step_by(image.channels).map(|&value| u64::from(value)).sum();
        (sum as f64 / n_pixels).round() as u8
    };
    (0..image.channels).map(of_channel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erasing(fill: Fill) -> RandomErasing {
        RandomErasing::new(RandomErasingConfig { p: 1.0, fill, ..RandomErasingConfig::default() }).unwrap()
    }

    #[test]
    fn regions_have_the_areas_shapes_and_places_asked_for() {
        let erasing = erasing(Fill::Black);
        let regions: Vec<Region> = (0..4000)
            .filter_map(|i| erasing.draw_region((300, 400), &mut Rng::new(i, "erase", &[])))
            .collect();
        assert_eq!(regions.len(), 4000);
        let mean = |value: fn(&Region) -> f64| regions.iter().map(value).sum::<f64>() / 4000.0;
        let area = |r: &Region| (r.height * r.width) as f64 / 120_000.0;
        let shape = |r: &Region| r.height as f64 / r.width as f64;
        assert!(regions.iter().all(|r| (0.019..0.335).contains(&area(r)) && (0.28..3.5).contains(&shape(r))));
        assert!((mean(area) - 0.175).abs() < 0.01, "{}", mean(area));
        assert!(regions.iter().all(|r| r.top + r.height <= 300 && r.left + r.width <= 400));
        assert!((mean(|r| (r.top as f64 + 0.5) / (301 - r.height) as f64) - 0.5).abs() < 0.02);
        assert!((mean(|r| (r.left as f64 + 0.5) / (401 - r.width) as f64) - 0.5).abs() < 0.02);
    }

    #[test]
    fn the_rectangle_is_filled_and_the_rest_stays() {
        let values = (0..20 * 30 * 4).map(|i| (i % 4 * 50 + 40) as u8).collect();
        let image = ByteImage { width: 30, height: 20, channels: 4, values };
        let mut erased = image.clone();
        erase(&mut erased, Region { top: 2, left: 3, height: 4, width: 5 }, |channel| channel as u8);
        let changed = |i: usize| {
            let (row, column) = (i / 4 / 30, i / 4 % 30);
            (2..6).contains(&row) && (3..8).contains(&column)
        };
        for (i, (before, after)) in image.values.iter().zip(&erased.values).enumerate() {
            assert_eq!(*after, if changed(i) { (i % 4) as u8 } else { *before });
        }
        let apply = |fill| {
            let mut rng = Rng::new(5, "erase", &[]);
            let Image::Bytes(image) = erasing(fill).apply(Image::Bytes(image.clone()), &mut rng) else {
                panic!("bytes stay bytes")
            };
            (image, rng.bits())
        };
        // Its own mean is what is everywhere.
        assert_eq!(apply(Fill::Mean).0, image);
        let (black, noise) = (apply(Fill::Black), apply(Fill::Noise));
        assert!(black.0.values.contains(&0) && black.0 != noise.0);
        assert_eq!(black.1, noise.1);
    }

    #[test]
    fn normalized_images_get_normal_values_and_only_there() {
        let erasing = erasing(Fill::Normal);
        let shape = |values| ImageShape { size: Some((60, 80)), channels: 3, values };
        assert_eq!(erasing.output(shape(ImageValues::Floats)).unwrap(), shape(ImageValues::Floats));
        assert!(erasing.output(shape(ImageValues::Bytes)).unwrap_err().hint().is_some());
        let image = FloatImage { width: 80, height: 60, channels: 3, values: vec![9.0; 80 * 60 * 3] };
        let erased: Vec<f32> = (0..50)
            .flat_map(|seed| {
                let mut rng = Rng::new(seed, "erase", &[]);
                let Image::Floats(image) = erasing.apply(Image::Floats(image.clone()), &mut rng) else {
                    panic!("floats stay floats")
                };
                image.values.into_iter().filter(|value| *value != 9.0)
            })
            .collect();
        let n = erased.len() as f64;
        let mean = erased.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = erased.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        assert!((n / (50.0 * 14400.0) - 0.175).abs() < 0.05, "{n} values");
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn an_image_without_an_inside_is_left_alone() {
        for (height, width) in [(1, 1), (1, 9), (9, 1)] {
            let image = Image::Bytes(ByteImage::rgb(width, height, vec![7; 3 * width * height]));
            assert_eq!(erasing(Fill::Noise).apply(image.clone(), &mut Rng::new(0, "erase", &[])), image);
        }
    }
}
