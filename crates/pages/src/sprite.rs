//! Many small images as one.

use image::RgbImage;
use image::imageops;

use crate::sheet::fitted;
use crate::thumbnail::jpeg_uri;

/// Of JPEG: lower than for images that stand alone, since there are many.
const QUALITY: u8 = 66;

/// Images of one size in a grid, as one JPEG file: thousands of files would have thousands of headers.
#[derive(Clone, Debug)]
pub(crate) struct Sprite {
    pub(crate) uri: String,
    /// Side of a cell in pixels.
    pub(crate) cell: u32,
    n_columns: u32,
    n_rows: u32,
}

impl Sprite {
    /// `images` in cells of `cell` by `cell` pixels, each whole and in the middle of its cell.
    pub(crate) fn new(images: &[RgbImage], cell: u32) -> Self {
        let n = images.len().max(1) as u32;
        let n_columns = f64::from(n).sqrt().ceil() as u32;
        let n_rows = n.div_ceil(n_columns);
        let mut sheet = RgbImage::new(n_columns * cell, n_rows * cell);
        for (i, image) in (0..).zip(images) {
            let (x, y) = (i % n_columns * cell, i / n_columns * cell);
            imageops::replace(&mut sheet, &fitted(image, (cell, cell)), i64::from(x), i64::from(y));
        }
        Self { uri: jpeg_uri(&sheet, QUALITY), cell, n_columns, n_rows }
    }

    /// `(width, height)` in pixels.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.n_columns * self.cell, self.n_rows * self.cell)
    }

    /// The left upper corner of image `index`.
    pub(crate) fn corner(&self, index: usize) -> (u32, u32) {
        let index = index as u32;
        (index % self.n_columns * self.cell, index / self.n_columns * self.cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_a_cell_of_its_own() {
        let sprite = Sprite::new(&vec![RgbImage::new(5, 9); 11], 8);
        assert_eq!(sprite.size(), (32, 24));
        let corners: std::collections::BTreeSet<_> = (0..11).map(|i| sprite.corner(i)).collect();
        assert_eq!((corners.len(), sprite.corner(5)), (11, (8, 8)));
        assert_eq!(Sprite::new(&[], 8).size(), (8, 8));
    }
}
