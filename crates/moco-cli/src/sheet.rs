//! Sheets of small images.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use plugin_api::ByteImage;

const GAP_PX: u32 = 4;

/// Converts an image for the drawing functions: one channel as gray, others by their first three.
pub(crate) fn rgb(image: ByteImage) -> RgbImage {
    let ByteImage { width, height, channels, values } = image;
    let colors = |pixel: &[u8]| match *pixel {
        [gray] => [gray; 3],
        [first, second] => [first, second, 0],
        [red, green, blue, ..] => [red, green, blue],
        [] => [0; 3],
    };
    let values = match channels {
        3 => values,
        _ => values.chunks_exact(channels).flat_map(colors).collect(),
    };
    RgbImage::from_raw(width as u32, height as u32, values).expect("a pixel has three bytes now")
}

/// What must be said of pictures that [`rgb`] makes of images of so many channels; nothing for RGB.
pub(crate) fn colors_note(channels: usize) -> Option<String> {
    match channels {
        3 => None,
        1 => Some("images of 1 channel are drawn in gray".into()),
        2 => Some("images of 2 channels are drawn with these as red and green".into()),
        n => Some(format!("images of {n} channels are drawn with the first three as red, green and blue")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_any_channels_are_drawn() {
        let drawn = |channels, values: &[u8]| {
            rgb(ByteImage { width: 2, height: 1, channels, values: values.to_vec() }).into_raw()
        };
        assert_eq!(drawn(1, &[7, 9]), [7, 7, 7, 9, 9, 9]);
        assert_eq!(drawn(2, &[1, 2, 3, 4]), [1, 2, 0, 3, 4, 0]);
        assert_eq!(drawn(3, &[1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(drawn(5, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), [1, 2, 3, 6, 7, 8]);
        assert!(colors_note(3).is_none() && [1, 2, 4, 16].iter().all(|n| colors_note(*n).is_some()));
    }
}
