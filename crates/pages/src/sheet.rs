//! Sheets of small images.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use crate::letters::{self, LETTER_PX};

const GAP_PX: u32 = 4;
/// Between a line of text and what is around it.
const MARGIN_PX: u32 = 2;

/// Scales `image`, keeping its aspect ratio, and centers it in a gray cell of `(width, height)` pixels.
pub fn fitted(image: &RgbImage, (width, height): (u32, u32)) -> RgbImage {
    let scale =
        (f64::from(width) / f64::from(image.width())).min(f64::from(height) / f64::from(image.height()));
    let to = |from: u32, most: u32| ((f64::from(from) * scale).round() as u32).clamp(1, most);
    let (w, h) = (to(image.width(), width), to(image.height(), height));
    let filter = if scale > 1.0 { FilterType::Nearest } else { FilterType::Triangle };
    let mut cell = RgbImage::from_pixel(width, height, Rgb([128; 3]));
    let small = imageops::resize(image, w, h, filter);
    imageops::replace(&mut cell, &small, i64::from((width - w) / 2), i64::from((height - h) / 2));
    cell
}

/// `cell` with lines of text below it, on white. A line that is too long is cut.
pub fn captioned(cell: &RgbImage, lines: &[String]) -> RgbImage {
    let (width, height) = cell.dimensions();
    let line_px = LETTER_PX + MARGIN_PX;
    let mut picture = RgbImage::from_pixel(width, height + lines.len() as u32 * line_px, Rgb([255; 3]));
    imageops::replace(&mut picture, cell, 0, 0);
    for (line, text) in (0..).zip(lines) {
        let place = (0, height + MARGIN_PX + line * line_px);
        letters::write(&mut picture, &letters::cut(text, width), place, Rgb([0; 3]));
    }
    picture
}

/// Rows of cells on white. All cells have the same size, and rows may differ in length.
pub fn sheet(rows: &[&[RgbImage]]) -> RgbImage {
    let n_columns = rows.iter().map(|cells| cells.len()).max().unwrap_or(0) as u32;
    let (width, height) = rows.iter().find_map(|cells| cells.first()).map_or((0, 0), RgbImage::dimensions);
    let span = |n: u32, size: u32| n * (size + GAP_PX) + GAP_PX;
    let mut sheet =
        RgbImage::from_pixel(span(n_columns, width), span(rows.len() as u32, height), Rgb([255; 3]));
    for (row, cells) in rows.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            let at = |n: usize, size: u32| i64::from(n as u32 * (size + GAP_PX) + GAP_PX);
            imageops::replace(&mut sheet, cell, at(column, width), at(row, height));
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_another_shape_is_centered_and_a_sheet_has_gaps() {
        let long = fitted(&RgbImage::from_pixel(300, 100, Rgb([9; 3])), (96, 96));
        assert_eq!(
            (long.dimensions(), long.get_pixel(47, 50).0, long.get_pixel(0, 0).0),
            ((96, 96), [9; 3], [128; 3])
        );
        let row = [long.clone(), long.clone(), long];
        assert_eq!(sheet(&[&row]).dimensions(), (3 * 100 + 4, 104));
    }

    #[test]
    fn a_caption_is_below_its_image_and_never_wider() {
        let cell = RgbImage::from_pixel(40, 30, Rgb([9; 3]));
        let picture = captioned(&cell, &["a name that is too long".into(), "b".into()]);
        assert_eq!(picture.dimensions(), (40, 50));
        let has_text = |rows: std::ops::Range<u32>| {
            rows.clone().any(|y| (0..40).any(|x| picture.get_pixel(x, y).0 == [0; 3]))
        };
        assert_eq!(*picture.get_pixel(0, 29), Rgb([9; 3]));
        assert!(!has_text(0..30) && has_text(30..40) && has_text(40..50));
    }
}
