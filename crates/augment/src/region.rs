//! Rectangles of images.

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
        Self::of_size((image.height, image.width))
    }

    /// All of an image of `(H, W)` pixels.
    pub(crate) fn of_size((height, width): (usize, usize)) -> Self {
        Self { top: 0, left: 0, height, width }
    }
}

/// A black image of `(H, W)` pixels.
pub(crate) fn black((height, width): (usize, usize), channels: usize) -> ByteImage {
    ByteImage { width, height, channels, values: vec![0; channels * width * height] }
}

/// Copies `region` of `from` to the pixels of `to` from row `top` and column `left` on. Both have the same channels.
pub(crate) fn copy(from: &ByteImage, region: Region, to: &mut ByteImage, (top, left): (usize, usize)) {
    let channels = from.channels;
    let n = channels * region.width;
    for row in 0..region.height {
        let source = channels * ((region.top + row) * from.width + region.left);
        let target = channels * ((top + row) * to.width + left);
        to.values[target..][..n].copy_from_slice(&from.values[source..][..n]);
    }
}
