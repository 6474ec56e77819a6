//! Turns an image as its EXIF data say.

use std::ops::Range;

use image::metadata::Orientation as Turn;
use plugin_api::ByteImage;

use super::canvas::Decoded;
use super::format::Format;
use super::limits::{check_memory, zeros};
use super::{jpeg_segments::Segments, png::Chunks, webp};

/// The same image, turned and mirrored to how it is shown.
pub(super) fn turned(decoded: Decoded, turn: Turn) -> Result<Decoded, String> {
    let (is_swapped, is_right_to_left, is_bottom_up) = match turn {
        Turn::NoTransforms => return Ok(decoded),
        Turn::FlipHorizontal => (false, true, false),
        Turn::Rotate180 => (false, true, true),
        Turn::FlipVertical => (false, false, true),
        // Rows become columns: the first row of the file is shown at the left or right, from the top or bottom.
        Turn::Rotate90FlipH => (true, false, false),
        Turn::Rotate90 => (true, false, true),
        Turn::Rotate270FlipH => (true, true, true),
        Turn::Rotate270 => (true, true, false),
    };
    let ByteImage { width, height, channels, values } = decoded.image;
    check_memory(2 * values.len())?;
    let (new_width, new_height) = if is_swapped { (height, width) } else { (width, height) };
    let mut turned = zeros(values.len())?;
    for (at, pixel) in turned.chunks_exact_mut(channels).enumerate() {
        let (x, y) = (at % new_width, at / new_width);
        let (x, y) = if is_swapped { (y, x) } else { (x, y) };
        let x = if is_right_to_left { width - 1 - x } else { x };
        let y = if is_bottom_up { height - 1 - y } else { y };
        let from = (y * width + x) * channels;
        pixel.copy_from_slice(&values[from..from + channels]);
    }
    let image = ByteImage { width: new_width, height: new_height, channels, values: turned };
    Ok(Decoded { image, ..decoded })
}

/// What the EXIF data of a file say, where it has any. That of a TIFF file is applied with its pixels.
pub(super) fn orientation_of(bytes: &[u8], format: Format) -> Turn {
    let exif: Option<Range<usize>> = match format {
        Format::Jpeg => Segments::read(bytes).ok().and_then(|segments| segments.exif),
        Format::Png => Chunks::read(bytes).ok().and_then(|chunks| chunks.exif),
        Format::WebP => webp::exif(bytes),
        _ => None,
    };
    // WebP files of some writers have the header of JPEG's EXIF segment.
    let data = exif.map(|range| &bytes[range]).map(|data| data.strip_prefix(b"Exif\0\0").unwrap_or(data));
    data.and_then(Turn::from_exif_chunk).unwrap_or(Turn::NoTransforms)
}
