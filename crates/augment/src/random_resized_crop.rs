//! Random resized crop.

use plugin_api::{Augmentation, ConfigError, Image, ImageShape, Rng};

use crate::region::{Region, RegionDraws};
use crate::resample::{Interpolation, resized_crop_by};
use crate::{Size, checks};

plugin_api::register! {
    dyn Augmentation {
        name: "random-resized-crop",
        summary: "crops a random region and resizes it to one size",
        source: "torchvision RandomResizedCrop (Szegedy et al. 2015, arXiv:1409.4842)",
        example: "(size: 224, scale: (0.2, 1.0))",
        build: |config: RandomResizedCropConfig, _context| RandomResizedCrop::new(config),
    }
}

/// The config of [`RandomResizedCrop`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomResizedCropConfig {
    /// Height and width of the output, in pixels: `224` or `(height, width)`.
    pub size: Size,
    /// Minimum and maximum area, as a share of the image. torchvision, MoCo v3's ViTs: (0.08, 1.0); MoCo v1, v2: (0.2,
    /// 1.0).
    #[serde(default = "RandomResizedCropConfig::torchvision_scale")]
    pub scale: (f64, f64),
    /// Minimum and maximum aspect ratio (width / height) of the region, whatever that of the output is. torchvision: 3/4 to
    /// 4/3.
    #[serde(default = "RandomResizedCropConfig::torchvision_ratio")]
    pub ratio: (f64, f64),
    /// The filter: Bilinear or Bicubic. torchvision, MoCo v1, v2, v3: Bilinear; DeiT: Bicubic.
    #[serde(default = "RandomResizedCropConfig::torchvision_interpolation")]
    pub interpolation: Interpolation,
}

impl RandomResizedCropConfig {
    fn torchvision_interpolation() -> Interpolation {
        Interpolation::Bilinear
    }

    fn torchvision_scale() -> (f64, f64) {
        (0.08, 1.0)
    }

    fn torchvision_ratio() -> (f64, f64) {
        (3.0 / 4.0, 4.0 / 3.0)
    }
}

/// Crops a region with random area, aspect ratio and position, and resizes it to one size.
///
/// The area is uniform in `scale`, and the logarithm of the aspect ratio uniform in that of `ratio`. A region that does
/// not fit into the image is drawn again, up to ten times; the fallback is the largest central region with an allowed
/// aspect ratio.
///
/// Random draws: 22. The position, vertical and horizontal; then area and aspect ratio for each of ten attempts, needed
/// or not.
#[derive(Debug, Clone)]
pub struct RandomResizedCrop {
    config: RandomResizedCropConfig,
    /// `(H, W)`.
    size: (usize, usize),
}

impl RandomResizedCrop {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If a side is 0, or a range is out of order or out of bounds.
    pub fn new(config: RandomResizedCropConfig) -> Result<Self, ConfigError> {
        let size = checks::size("size", config.size)?;
        let must = "the first must not exceed the second, and both must be above 0 and at most 1";
        checks::range("scale", config.scale, (f64::MIN_POSITIVE, 1.0), must)?;
        let must = "the first must not exceed the second, and both must be from 0.01 to 100";
        checks::range("ratio", config.ratio, (0.01, 100.0), must)?;
        Ok(Self { config, size })
    }

    fn draw_region(&self, (height, width): (usize, usize), rng: &mut Rng) -> Region {
        let RandomResizedCropConfig { scale, ratio, .. } = self.config;
        let draws = RegionDraws::new((height, width), scale, ratio, rng);
        let fits = draws.tries.into_iter().find_map(|(area, shape)| {
            let wide = (area * shape).sqrt().round_ties_even() as usize;
            let high = (area / shape).sqrt().round_ties_even() as usize;
            ((1..=width).contains(&wide) && (1..=height).contains(&high)).then_some((high, wide))
        });
        match fits {
            Some(size) => draws.place((height, width), size),
            None => largest_central((height, width), ratio),
        }
    }
}

/// The largest central region whose aspect ratio is within `ratio`.
fn largest_central((height, width): (usize, usize), ratio: (f64, f64)) -> Region {
    let shape = width as f64 / height as f64;
    let rounded = |side: f64, most: usize| (side.round_ties_even() as usize).clamp(1, most);
    let (high, wide) = if shape < ratio.0 {
        (rounded(width as f64 / ratio.0, height), width)
    } else if shape > ratio.1 {
        (height, rounded(height as f64 * ratio.1, width))
    } else {
        (height, width)
    };
    Region { top: (height - high) / 2, left: (width - wide) / 2, height: high, width: wide }
}

impl Augmentation for RandomResizedCrop {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        let input = checks::bytes("random-resized-crop", input)?;
        Ok(ImageShape { size: Some(self.size), ..input })
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        checks::on_bytes(image, |image| {
            let region = self.draw_region((image.height, image.width), rng);
            resized_crop_by(&image, region, self.size, self.config.interpolation)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(scale: (f64, f64), ratio: (f64, f64)) -> RandomResizedCropConfig {
        let interpolation = RandomResizedCropConfig::torchvision_interpolation();
        RandomResizedCropConfig { size: Size::square(32), scale, ratio, interpolation }
    }

    fn crop(scale: (f64, f64)) -> RandomResizedCrop {
        RandomResizedCrop::new(config(scale, RandomResizedCropConfig::torchvision_ratio())).unwrap()
    }

    #[test]
    fn regions_have_the_areas_shapes_and_places_asked_for() {
        let crop = crop((0.2, 0.6));
        let regions: Vec<Region> =
            (0..4000).map(|i| crop.draw_region((300, 400), &mut Rng::new(i, "crop", &[]))).collect();
        let mean = |value: fn(&Region) -> f64| regions.iter().map(value).sum::<f64>() / 4000.0;
        let area = |r: &Region| (r.height * r.width) as f64 / 120_000.0;
        let shape = |r: &Region| r.width as f64 / r.height as f64;
        assert!(
            regions.iter().all(|r| (0.195..0.605).contains(&area(r)) && (0.74..1.35).contains(&shape(r)))
        );
        assert!((mean(area) - 0.4).abs() < 0.01);
        assert!(mean(|r| (r.width as f64 / r.height as f64).ln()).abs() < 0.01);
        assert!((mean(|r| (r.top as f64 + 0.5) / (301 - r.height) as f64) - 0.5).abs() < 0.02);
        assert!(regions.iter().any(|r| r.left == 0) && regions.iter().any(|r| r.left + r.width == 400));
    }

    #[test]
    fn a_strip_falls_back_to_its_middle() {
        let region = crop((0.9, 1.0)).draw_region((10, 1000), &mut Rng::new(0, "crop", &[]));
        assert_eq!(region, Region { top: 0, left: 493, height: 10, width: 13 });
        let region = crop((0.9, 1.0)).draw_region((1000, 10), &mut Rng::new(0, "crop", &[]));
        assert_eq!(region, Region { top: 493, left: 0, height: 13, width: 10 });
    }

    #[test]
    fn one_pixel_is_enough() {
        let image = plugin_api::ByteImage::rgb(1, 1, vec![1, 2, 3]);
        let image = crop((0.08, 1.0)).apply(Image::Bytes(image), &mut Rng::new(0, "crop", &[]));
        let Image::Bytes(image) = image else { panic!("bytes stay bytes") };
        assert_eq!(image.values, [1, 2, 3].repeat(32 * 32));
    }

    #[test]
    fn every_image_takes_as_many_draws() {
        let after = |size| {
            let mut rng = Rng::new(0, "crop", &[]);
            crop((0.2, 1.0)).draw_region(size, &mut rng);
            rng.bits()
        };
        assert_eq!(after((10, 1000)), after((300, 300)));
    }

    #[test]
    fn ranges_out_of_order_are_refused() {
        let refused = RandomResizedCrop::new(config((0.5, 0.2), (1.0, 1.0))).unwrap_err();
        assert!(refused.to_string().starts_with("`scale` is (0.5, 0.2), but"));
    }
}
