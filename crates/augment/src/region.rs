//! Rectangles of images.

use plugin_api::{ByteImage, Rng};

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

/// Attempts to draw a region; torchvision's number.
const N_TRIES: usize = 10;

/// A region of random area, aspect ratio and place: draws of which the first that fits is taken.
pub(crate) struct RegionDraws {
    /// Where in the room above and below it.
    down: f64,
    /// Where in the room to its left and right.
    right: f64,
    /// Area in pixels and aspect ratio.
    pub(crate) tries: [(f64, f64); N_TRIES],
}

impl RegionDraws {
    /// 22 draws, needed or not: the place, vertical and horizontal; then area and aspect ratio for each attempt. The area is
    /// uniform in `scale`, as a share of `(H, W)` pixels, and the logarithm of the aspect ratio uniform in that of `ratio`.
    pub(crate) fn new(
        (height, width): (usize, usize),
        scale: (f64, f64),
        ratio: (f64, f64),
        rng: &mut Rng,
    ) -> Self {
        let [down, right] = [rng.unit(), rng.unit()];
        let tries = std::array::from_fn(|_| {
            let area = (height * width) as f64 * rng.uniform(scale.0, scale.1);
            (area, rng.uniform(ratio.0.ln(), ratio.1.ln()).exp())
        });
        Self { down, right, tries }
    }

    /// The drawn place of a region of `size` in an image of `(H, W)` pixels, which is not smaller.
    pub(crate) fn place(&self, (height, width): (usize, usize), size: (usize, usize)) -> Region {
        let place = |share: f64, room: usize| (share * (room + 1) as f64) as usize;
        let (top, left) = (place(self.down, height - size.0), place(self.right, width - size.1));
        Region { top, left, height: size.0, width: size.1 }
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
