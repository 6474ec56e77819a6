//! Pillow's antialiased filters on images of bytes. Start at [`fill`].
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x2, U8x3, U8x4};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

/// The most channels that are filtered at a time.
pub const MAX_CHANNELS: usize = 4;

/// How pixels are weighted. A filter is stretched by as much as the image shrinks, so that no pixel is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Over two pixels.
    Bilinear,
    /// Over four pixels, with the coefficient -0.5, as Pillow has it.
    Bicubic,
}

/// A rectangle, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// Rows above it.
    pub top: usize,
    /// Columns left of it.
    pub left: usize,
    /// Rows in it, at least 1.
    pub height: usize,
    /// Columns in it, at least 1.
    pub width: usize,
}

/// The part of a region that a result shows, in fractions of its pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Rows above it.
    pub top: f64,
    /// Columns left of it.
    pub left: f64,
    /// Rows in it, more than 0.
    pub height: f64,
    /// Columns in it, more than 0.
    pub width: f64,
}

/// What is resampled.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The image, `(H, W, C)`.
    pub values: &'a [u8],
    /// `(H, W)`.
    pub size: (usize, usize),
    /// `C`, from 1 to [`MAX_CHANNELS`].
    pub channels: usize,
    /// The part of the image that has an influence.
    pub region: Rect,
    /// The part of the region that is shown. Pixels of the region next to it have their influence.
    pub window: Window,
}

/// Fills `target`, `(height, width, C)`, with the window of `source`. Each channel is filtered by itself.
///
/// # Panics
/// If there are other channels than 1 to 4, a buffer does not fit its size, the region reaches beyond the image or the window
/// beyond the region, or a side is 0 or not below 2³².
pub fn fill(source: &Source<'_>, target: &mut [u8], size: (usize, usize), filter: Filter) {
    match source.channels {
        1 => fill_as::<U8>(source, target, size, filter),
        2 => fill_as::<U8x2>(source, target, size, filter),
        3 => fill_as::<U8x3>(source, target, size, filter),
        4 => fill_as::<U8x4>(source, target, size, filter),
        other => panic!("{other} channels, expected 1 to {MAX_CHANNELS}"),
    }
}

fn fill_as<P: PixelTrait>(source: &Source<'_>, target: &mut [u8], size: (usize, usize), filter: Filter) {
    let Source { values, size: (rows, columns), region, window, .. } = *source;
    let image = TypedImageRef::<P>::from_buffer(side(columns), side(rows), values)
        .expect("an image has a byte for each channel of each pixel");
    let [top, left, height, width] = [region.top, region.left, region.height, region.width].map(side);
    let image = TypedCroppedImage::new(image, left, top, width, height)
        .expect("the caller keeps the region within the image");
    let mut target = TypedImage::<P>::from_buffer(side(size.1), side(size.0), target)
        .expect("the buffer has a byte for each channel of each pixel");
    let filter = match filter {
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Bicubic => FilterType::CatmullRom,
    };
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .crop(window.left, window.top, window.width, window.height)
        .use_alpha(false);
    Resizer::new().resize_typed(&image, &mut target, &options).expect("the window is within the region");
}

fn side(pixels: usize) -> u32 {
    u32::try_from(pixels).expect("no image has four billion pixels in a row")
}
