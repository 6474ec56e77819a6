//! Decodes image files to RGB bytes.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use plugin_api::{ByteImage, UnreadableImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Images with more pixels are rejected: a file of a few kilobytes can claim to hold terabytes.
///
/// About 134 million. Pillow warns above 89 million, and raises an error above 179 million.
pub const MAX_PIXELS: usize = 1 << 27;

const MAX_FILE_BYTES: u64 = 1 << 30;

/// Decodes an image file to RGB, independently of its extension.
///
/// Supports JPEG, PNG, BMP, GIF (first frame), WebP and TIFF. Grayscale, palette and CMYK become RGB, 16 bits become 8,
/// alpha is dropped without blending, and EXIF orientation is not applied. This matches
/// `Image.open(path).convert("RGB")` in Pillow, which torchvision uses, except that 16-bit grayscale is scaled here and
/// clipped there.
///
/// # Errors
/// If the file cannot be read, is not an image, is damaged or truncated, or has more than [`MAX_PIXELS`].
pub fn decode(path: &Path) -> Result<ByteImage, UnreadableImage> {
    let named = |reason| UnreadableImage { name: path.display().to_string(), reason };
    let bytes = read(path).map_err(named)?;
    decode_bytes(&bytes).map_err(named)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let n_bytes = file.metadata().map_err(|error| error.to_string())?.len();
    if n_bytes > MAX_FILE_BYTES {
        return Err(format!("the file has {n_bytes} bytes, more than the limit of {MAX_FILE_BYTES}"));
    }
    let mut bytes = Vec::with_capacity(n_bytes as usize);
    file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

pub(crate) fn decode_bytes(bytes: &[u8]) -> Result<ByteImage, String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => decode_jpeg(bytes),
        Ok(format) => decode_other(bytes, format),
        Err(_) => Err("the file has no supported image format".into()),
    }
}

/// `image` decodes JPEG leniently, and copies the file; this is the underlying decoder in strict mode.
fn decode_jpeg(bytes: &[u8]) -> Result<ByteImage, String> {
    // Even the strict decoder makes up the last blocks of a file that is truncated within them.
    if !has_end_of_image(bytes) {
        return Err("the JPEG file is truncated".into());
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let explain = |error: zune_jpeg::errors::DecodeErrors| format!("damaged JPEG: {error}");
    decoder.decode_headers().map_err(explain)?;
    let Some((width, height)) = decoder.dimensions() else {
        return Err("damaged JPEG: it has no size".into());
    };
    check_size(width, height)?;
    let mut rgb = vec![0; width * height * 3];
    decoder.decode_into(&mut rgb).map_err(explain)?;
    Ok(ByteImage::rgb(width, height, rgb))
}

/// Whether the end-of-image marker is present after the scans: a preview in the header has its own.
fn has_end_of_image(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xd9;
    if bytes.ends_with(&[0xff, END_OF_IMAGE]) {
        return true;
    }
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)) {
        at += found + 1;
        match bytes.get(at) {
            Some(&END_OF_IMAGE) => return true,
            // Segments start with their length, including the two bytes of the length itself.
            Some(0xc0..=0xcf | 0xda..=0xef | 0xfe) => match bytes.get(at + 1..at + 3) {
                Some(&[high, low]) => at += 1 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            // A byte 0xff of the scan, a restart, filling.
            Some(_) => {}
            None => return false,
        }
    }
    false
}

fn decode_other(bytes: &[u8], format: ImageFormat) -> Result<ByteImage, String> {
    let explain = |error: image::ImageError| match error {
        image::ImageError::Unsupported(_) => format!("this kind of {format:?} is not supported"),
        image::ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            format!("the {format:?} file is truncated")
        }
        error => format!("damaged {format:?}: {error}"),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(explain)?;
    let (width, height) = image::ImageDecoder::dimensions(&decoder);
    check_size(width as usize, height as usize)?;
    image::ImageDecoder::set_limits(&mut decoder, limits()).map_err(explain)?;
    let rgb = DynamicImage::from_decoder(decoder).map_err(explain)?.into_rgb8();
    Ok(ByteImage::rgb(rgb.width() as usize, rgb.height() as usize, rgb.into_raw()))
}

/// Eight bytes per pixel: four channels of 16 bits.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS as u64 * 8);
    limits
}

fn check_size(width: usize, height: usize) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("it has no pixels ({width} x {height})"));
    }
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(format!("{width} x {height} pixels are more than the limit of {MAX_PIXELS}"));
    }
    Ok(())
}

/// The name of the format that `bytes` are in, by their first ones: `JPEG`, `PNG`.
pub fn format_of(bytes: &[u8]) -> Option<&'static str> {
    match image::guess_format(bytes).ok()? {
        ImageFormat::Jpeg => Some("JPEG"),
        ImageFormat::Png => Some("PNG"),
        ImageFormat::Bmp => Some("BMP"),
        ImageFormat::Gif => Some("GIF"),
        ImageFormat::WebP => Some("WebP"),
        ImageFormat::Tiff => Some("TIFF"),
        _ => None,
    }
}
