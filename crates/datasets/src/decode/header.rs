//! What the first bytes of a file say of its image, without decoding it.

use super::canvas::Meaning;
use super::format::{Format, format_of};
use super::jpeg_segments::Segments;
use super::tiff_header::{Directory, tag};
use super::{pnm, webp};

/// What the header of an image file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// Pixels in a row, at least 1.
    pub width: usize,
    /// Pixels in a column, at least 1.
    pub height: usize,
    /// Whether the file has gray values and no colors.
    pub is_gray: bool,
}

/// The header of the image file that begins with `bytes`; `None` if they do not say it: the header may lie further on, or this is a
/// format that has to be decoded for it (ICO, and those of features).
pub fn image_header(bytes: &[u8]) -> Option<ImageHeader> {
    let little = |at: usize| Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
    let big = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
    let (width, height, is_gray) = match format_of(bytes).ok()? {
        Format::Jpeg => {
            let frame = Segments::read(bytes).ok()?.frame;
            (frame.width, frame.height, frame.components.len() == 1)
        }
        // The first chunk is always `IHDR`; colors 0 and 4 are gray, without and with alpha.
        Format::Png => (big(16)?, big(20)?, matches!(bytes.get(25)?, 0 | 4)),
        Format::Gif => (little(6)?, little(8)?, false),
        Format::Bmp => bmp(bytes.get(14..)?)?,
        Format::Dib => bmp(bytes)?,
        Format::Qoi => (big(4)?, big(8)?, false),
        Format::WebP => {
            let (width, height) = webp::size(bytes)?;
            (width, height, false)
        }
        Format::Tga => (little(12)?, little(14)?, matches!(bytes.get(2)?, 3 | 11)),
        Format::Pnm => {
            let (width, height, meaning) = pnm::size(bytes)?;
            (width, height, meaning == Meaning::Gray)
        }
        Format::Tiff => tiff(bytes)?,
        Format::Ico => return None,
        #[cfg(feature = "jxl")]
        Format::Jxl => return None,
        #[cfg(feature = "npy")]
        Format::Npy => return None,
    };
    (width > 0 && height > 0).then_some(ImageHeader { width, height, is_gray })
}

/// Behind the header of the file. The header of OS/2 has 16 bits a side; in others a negative height means rows from the top.
pub(super) fn bmp(bytes: &[u8]) -> Option<(usize, usize, bool)> {
    const CORE_HEADER: u8 = 12;
    if *bytes.first()? == CORE_HEADER {
        let side = |at: usize| Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
        return Some((side(4)?, side(6)?, false));
    }
    let side = |at: usize| Some(i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?).unsigned_abs() as usize);
    Some((side(4)?, side(8)?, false))
}

fn tiff(bytes: &[u8]) -> Option<(usize, usize, bool)> {
    let directory = Directory::first(bytes).ok()?;
    let number = |tag: u16| usize::try_from(directory.number(tag).ok()??).ok();
    // White is zero, black is zero.
    let is_gray = matches!(number(tag::PHOTOMETRIC), Some(0 | 1)) && number(tag::SAMPLES).unwrap_or(1) <= 2;
    Some((number(tag::WIDTH)?, number(tag::HEIGHT)?, is_gray))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

    use super::*;
    use crate::decode::{ReadOptions, decode_bytes};

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_header_says_what_the_decoded_image_has() {
        let formats = [
            ImageFormat::Jpeg,
            ImageFormat::Png,
            ImageFormat::Gif,
            ImageFormat::Bmp,
            ImageFormat::Qoi,
            ImageFormat::WebP,
            ImageFormat::Tga,
            ImageFormat::Tiff,
        ];
        for format in formats {
            let bytes = encoded(&RgbImage::new(37, 21).into(), format);
            let found = image_header(&bytes).unwrap_or_else(|| panic!("{format:?}"));
            let decoded = decode_bytes(&bytes, &ReadOptions::default()).unwrap();
            assert_eq!((found.width, found.height), (decoded.width, decoded.height), "{format:?}");
            assert!(!found.is_gray, "{format:?}");
        }
        for (kind, n_channels) in [(5, 1), (6, 3)] {
            let bytes =
                [format!("P{kind}\n37 21 255\n").into_bytes(), vec![7; 37 * 21 * n_channels]].concat();
            let found = image_header(&bytes).unwrap();
            assert_eq!(found, ImageHeader { width: 37, height: 21, is_gray: n_channels == 1 });
        }
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Tiff] {
            let found = image_header(&encoded(&GrayImage::new(5, 9).into(), format)).unwrap();
            assert_eq!(found, ImageHeader { width: 5, height: 9, is_gray: true }, "{format:?}");
        }
    }

    #[test]
    fn the_first_bytes_are_enough_and_too_few_say_nothing() {
        let noise =
            RgbImage::from_fn(300, 200, |x, y| image::Rgb([(x * y) as u8, (x ^ y) as u8, (x * 7) as u8]));
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let bytes = encoded(&noise.clone().into(), format);
            assert!(bytes.len() > 2048);
            let found = image_header(&bytes[..2048]).unwrap();
            assert_eq!((found.width, found.height), (300, 200));
            for n in 0..24 {
                assert_eq!(image_header(&bytes[..n]), None, "{format:?} {n}");
            }
        }
        assert_eq!(image_header(b"no image at all"), None);
    }
}
