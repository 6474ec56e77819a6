//! Sheets of small images.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use plugin_api::ByteImage;

const GAP_PX: u32 = 4;

/// Converts an image for the drawing functions.
pub(crate) fn rgb(image: ByteImage) -> RgbImage {
    RgbImage::from_raw(image.width as u32, image.height as u32, image.values)
        .expect("an image has three bytes for each pixel")
}

/// Scales `image`, keeping its aspect ratio, and centers it in a gray cell.
pub(crate) fn fitted(image: &RgbImage, (width, height): (u32, u32)) -> RgbImage {
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

/// Rows of cells on white. All cells have the same size, and rows may differ in length.
pub(crate) fn draw(rows: &[&[RgbImage]]) -> RgbImage {
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
