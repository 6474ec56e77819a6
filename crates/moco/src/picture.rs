//! Pictures that this program draws.

use std::io::{self, Write};

use image::RgbImage;

/// Writes `image` as a PNG file with the mark [`datasets::PICTURE_MARK`], by which a listing of images knows it as no part
/// of the data.
///
/// # Errors
/// If `file` cannot be written, or the image has no pixels.
pub fn write_picture(file: impl Write, image: &RgbImage) -> io::Result<()> {
    let mut encoder = png::Encoder::new(file, image.width(), image.height());
    encoder.set_color(png::ColorType::Rgb);
    let (keyword, text) = datasets::PICTURE_MARK;
    encoder.add_text_chunk(keyword.into(), text.into())?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.as_raw())?;
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn a_picture_has_the_mark_and_its_pixels() {
        let image = RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8, y as u8, 9]));
        let mut bytes = Vec::new();
        write_picture(&mut bytes, &image).unwrap();
        assert!(bytes[..100].windows(17).any(|window| window == b"tEXtSoftware\0moco"));
        assert_eq!(image::load_from_memory(&bytes).unwrap().into_rgb8(), image);
    }
}
