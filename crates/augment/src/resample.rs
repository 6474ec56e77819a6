//! Cropping and resizing, with Pillow's antialiased bilinear filter.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use plugin_api::ByteImage;

/// A rectangle of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Rows above it.
    pub top: usize,
    /// Columns left of it.
    pub left: usize,
    /// Rows in it, at least 1.
    pub height: usize,
    /// Columns in it, at least 1.
    pub width: usize,
}

impl Region {
    /// All of `image`.
    pub fn whole(image: &ByteImage) -> Self {
        Self { top: 0, left: 0, height: image.height, width: image.width }
    }
}

/// Resizes `region` of `image` to `(height, width)`. Pixels outside of the region have no influence.
///
/// # Panics
/// If the region reaches beyond the image or a side is 0.
pub fn resized_crop(image: &ByteImage, region: Region, (height, width): (usize, usize)) -> ByteImage {
    let [top, left, old_height, old_width] = [region.top, region.left, region.height, region.width].map(side);
    let source = TypedImageRef::<U8x3>::from_buffer(side(image.width), side(image.height), &image.values)
        .expect("an image has three bytes a pixel");
    let source = TypedCroppedImage::new(source, left, top, old_width, old_height)
        .expect("the caller keeps the region within the image");
    let mut rgb = vec![0; 3 * width * height];
    let mut target = TypedImage::<U8x3>::from_buffer(side(width), side(height), &mut rgb)
        .expect("the buffer has three bytes a pixel");
    let options =
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
    Resizer::new().resize_typed(&source, &mut target, &options).expect("the region is the whole view");
    ByteImage::rgb(width, height, rgb)
}

fn side(pixels: usize) -> u32 {
    u32::try_from(pixels).expect("no image has four billion pixels in a row")
}
