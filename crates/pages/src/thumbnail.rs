//! Small images within a page.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};

/// The longer side of a thumbnail at the most.
pub const MAX_THUMBNAIL_PX: u32 = 96;

/// Of JPEG. A thumbnail of a photograph is two or three kilobytes then.
const QUALITY: u8 = 72;

/// A small image, as a page holds it.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    /// The `src` of an `img`.
    pub(crate) uri: String,
    /// Pixels along the longer side.
    pub(crate) longer: u32,
}

impl Thumbnail {
    /// `image` as a JPEG file, made smaller if a side is longer than [`MAX_THUMBNAIL_PX`], and never larger.
    pub fn new(image: &RgbImage) -> Self {
        Self::within(image, MAX_THUMBNAIL_PX)
    }

    /// The same with another longest side.
    pub fn within(image: &RgbImage, most: u32) -> Self {
        let small = shrunk(image, most);
        Self { uri: jpeg_uri(&small, QUALITY), longer: small.width().max(small.height()) }
    }
}

/// `image` with no side longer than `most`.
pub fn shrunk(image: &RgbImage, most: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= most {
        return image.clone();
    }
    let scaled = |side: u32| (f64::from(side) * f64::from(most) / f64::from(longer)).round().max(1.0) as u32;
    imageops::resize(image, scaled(width), scaled(height), FilterType::Triangle)
}

/// `image` as a JPEG file, as the address of an image.
pub(crate) fn jpeg_uri(image: &RgbImage, quality: u8) -> String {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    // It fails where the writer does, and for images that are empty or longer than 65,535 pixels, which none here is.
    match encoder.encode_image(image) {
        Ok(()) => format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(&bytes)),
        Err(_) => "data:,".into(),
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn decoded(uri: &str) -> RgbImage {
        let bytes = BASE64_STANDARD.decode(uri.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
        image::load_from_memory(&bytes).unwrap().into_rgb8()
    }

    #[test]
    fn large_images_become_small_and_small_ones_stay() {
        let large = Thumbnail::new(&RgbImage::from_pixel(400, 100, Rgb([9, 200, 30])));
        let small = Thumbnail::new(&RgbImage::from_pixel(20, 32, Rgb([9, 200, 30])));
        assert_eq!((decoded(&large.uri).dimensions(), large.longer), ((96, 24), 96));
        assert_eq!((decoded(&small.uri).dimensions(), small.longer), ((20, 32), 32));
        let pixel = decoded(&small.uri).get_pixel(10, 10).0;
        assert!(pixel.iter().zip([9, 200, 30]).all(|(found, was)| found.abs_diff(was) < 6), "{pixel:?}");
        assert_eq!(Thumbnail::within(&RgbImage::new(3000, 1), 50).longer, 50);
    }
}
