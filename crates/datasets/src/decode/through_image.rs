//! Formats that `image` decodes: WebP, BMP, DIB, QOI, TGA, and the bitmaps in ICO.

use std::error::Error;
use std::io::{BufRead, Cursor, ErrorKind, Seek};

use image::codecs::{bmp::BmpDecoder, qoi::QoiDecoder, tga::TgaDecoder, webp::WebPDecoder};
use image::{ColorType, ImageDecoder, ImageError, ImageResult};

use super::canvas::{Canvas, Decoded, Depth, Meaning, Shape};
use super::limits::{check_length, check_memory, check_size, zeros};
use super::options::ReadOptions;
use super::{header, webp};

pub(super) fn webp(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    webp::check_frames(bytes)?;
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| explain("WebP", error))?;
    // An image of one color takes a few bytes, whatever its size.
    check_bits(&decoder, bytes.len(), 0)?;
    // The decoder's own image with its transforms, and those that one of an animation is composed on.
    let n_decoder_bytes = if decoder.has_animation() { 10 } else { 6 };
    decode("WebP", decoder, options, n_decoder_bytes)
}

/// Bytes that a BMP file has before the header of its bitmap.
const BMP_FILE_HEADER: usize = 14;

pub(super) fn bmp(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let bitmap = bytes.get(BMP_FILE_HEADER..).unwrap_or_default();
    bitmap_of("BMP", bitmap, bytes.len(), BmpDecoder::new(Cursor::new(bytes)), options)
}

/// A BMP file without its first header.
pub(super) fn dib(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    bitmap_of("DIB", bytes, bytes.len(), BmpDecoder::new_without_file_header(Cursor::new(bytes)), options)
}

fn bitmap_of<R: BufRead + Seek>(
    name: &str,
    bitmap: &[u8],
    n_file_bytes: usize,
    decoder: ImageResult<BmpDecoder<R>>,
    options: &ReadOptions,
) -> Result<Decoded, String> {
    let longest = usize::from(u16::MAX);
    if let Some((width, height, _)) = header::bmp(bitmap)
        && width.max(height) > longest
    {
        // A file that claims to be huge is told what all are told.
        check_size(width, height)?;
        return Err(format!(
            "a {name} with a side of more than {longest} pixels is not read, and this has {width} x {height}: convert \
             the file to PNG"
        ));
    }
    let decoder = decoder.map_err(|error| explain(name, error))?;
    let byte = |at: usize| bitmap.get(at).copied().unwrap_or(0);
    let is_core_header = byte(0) == 12;
    let bits = if is_core_header { byte(10) } else { byte(14) };
    // Pixels that a run skips take no bytes at all.
    let has_runs = !is_core_header && matches!(byte(16), 1 | 2);
    check_bits(&decoder, n_file_bytes, if has_runs { 0 } else { bits.into() })?;
    decode(name, decoder, options, 0)
}

pub(super) fn qoi(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let decoder = QoiDecoder::new(Cursor::new(bytes)).map_err(|error| explain("QOI", error))?;
    const LONGEST_RUN: usize = 62;
    check_bits(&decoder, bytes.len().saturating_mul(LONGEST_RUN), 8)?;
    decode("QOI", decoder, options, 0)
}

pub(super) fn tga(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let decoder = TgaDecoder::new(Cursor::new(bytes)).map_err(|error| explain("TGA", error))?;
    let has_runs = bytes[2] >= 8;
    // A run of 128 pixels takes a byte beside that of its color.
    let longest_run = if has_runs { 128 } else { 1 };
    check_bits(&decoder, bytes.len().saturating_mul(longest_run), bytes[16].into())?;
    // Color maps and 15 bits are expanded from a copy.
    decode("TGA", decoder, options, 2)
}

/// Fails for an image that is too large, or whose file is too short at `n_bits` a pixel.
pub(super) fn check_bits(
    decoder: &impl ImageDecoder,
    n_file_bytes: usize,
    n_bits: usize,
) -> Result<(), String> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    check_length(n_file_bytes, (width * height).saturating_mul(n_bits) / 8, 1)
}

/// The image of a decoder whose size has been checked.
///
/// `n_decoder_bytes` is what it holds beside its output, in bytes per pixel.
pub(super) fn decode(
    name: &str,
    decoder: impl ImageDecoder,
    options: &ReadOptions,
    n_decoder_bytes: usize,
) -> Result<Decoded, String> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    let color = decoder.color_type();
    let (meaning, has_alpha) = match color {
        ColorType::L8 => (Meaning::Gray, false),
        ColorType::La8 => (Meaning::Gray, true),
        ColorType::Rgb8 => (Meaning::Rgb, false),
        ColorType::Rgba8 => (Meaning::Rgb, true),
        other => return Err(format!("a {name} of {other:?} is not read: convert the file to PNG")),
    };
    let n_channels = usize::from(color.channel_count());
    let n_values = width * height * n_channels;
    check_memory(n_values + width * height * n_decoder_bytes)?;
    let mut samples = zeros(n_values)?;
    decoder.read_image(&mut samples).map_err(|error| explain(name, error))?;
    Canvas::whole(
        Shape { width, height, n_channels, meaning, has_alpha, depth: Depth::Byte },
        options,
        samples,
    )
}

pub(super) fn explain(name: &str, error: ImageError) -> String {
    match error {
        ImageError::Unsupported(error) => format!("this kind of {name} is not read: {error}"),
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            format!("the {name} file is truncated")
        }
        error => format!(
            "damaged {name}: {}",
            error.source().map_or_else(|| error.to_string(), ToString::to_string)
        ),
    }
}
