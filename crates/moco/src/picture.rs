//! Pictures that this program draws, and images as it draws them.

use std::io::{self, Write};

use image::RgbImage;
use plugin_api::ByteImage;

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

/// Converts an image for drawing: one channel as gray, others by their first three.
///
/// # Panics
/// If its values are not `height * width * channels`.
pub fn rgb_of(image: ByteImage) -> RgbImage {
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

/// What must be said of pictures that [`rgb_of`] makes of images of so many channels; nothing for RGB.
pub fn colors_note(channels: usize) -> Option<String> {
    match channels {
        3 => None,
        1 => Some("images of 1 channel are drawn in gray".into()),
        2 => Some("images of 2 channels are drawn with these as red and green".into()),
        n => Some(format!("images of {n} channels are drawn with the first three as red, green and blue")),
    }
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

    #[test]
    fn images_of_any_channels_are_drawn() {
        let drawn = |channels, values: &[u8]| {
            rgb_of(ByteImage { width: 2, height: 1, channels, values: values.to_vec() }).into_raw()
        };
        assert_eq!(drawn(1, &[7, 9]), [7, 7, 7, 9, 9, 9]);
        assert_eq!(drawn(2, &[1, 2, 3, 4]), [1, 2, 0, 3, 4, 0]);
        assert_eq!(drawn(3, &[1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(drawn(5, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), [1, 2, 3, 6, 7, 8]);
        assert!(colors_note(3).is_none() && [1, 2, 4, 16].iter().all(|n| colors_note(*n).is_some()));
    }
}
