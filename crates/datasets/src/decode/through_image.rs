//! Formats that `image` decodes: WebP, BMP, QOI, ICO, TGA.

use std::error::Error;
use std::io::{Cursor, ErrorKind};

use image::codecs::{bmp::BmpDecoder, ico::IcoDecoder, qoi::QoiDecoder, tga::TgaDecoder, webp::WebPDecoder};
use image::{ColorType, ImageDecoder, ImageError};

use super::canvas::{Canvas, Decoded, Depth, Meaning, Shape};
use super::limits::{check_length, check_memory, check_size, zeros};
use super::options::ReadOptions;
use super::webp;

pub(super) fn webp(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    webp::check_frames(bytes)?;
    // The decoder's own image of 4 bytes a pixel, and those that it is composed on.
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| explain("WebP", error))?;
    let n_decoder_bytes = if decoder.has_animation() { 8 } else { 4 };
    decode("WebP", decoder, options, bytes.len(), usize::MAX, n_decoder_bytes)
}

pub(super) fn bmp(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|error| explain("BMP", error))?;
    let most_per_byte = match bytes.get(14..34) {
        // Runs of up to 255 pixels take two bytes; what is skipped takes none.
        Some(header) if matches!(header[16], 1 | 2) => usize::MAX,
        // One bit each.
        _ => 8,
    };
    decode("BMP", decoder, options, bytes.len(), most_per_byte, 0)
}

pub(super) fn qoi(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let decoder = QoiDecoder::new(Cursor::new(bytes)).map_err(|error| explain("QOI", error))?;
    // The longest run.
    decode("QOI", decoder, options, bytes.len(), 62, 0)
}

pub(super) fn ico(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let decoder = IcoDecoder::new(Cursor::new(bytes)).map_err(|error| explain("ICO", error))?;
    decode("ICO", decoder, options, bytes.len(), usize::MAX, 0)
}

pub(super) fn tga(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let decoder = TgaDecoder::new(Cursor::new(bytes)).map_err(|error| explain("TGA", error))?;
    // The longest run takes two bytes. Color maps and 15 bits are expanded from a copy.
    decode("TGA", decoder, options, bytes.len(), 64, 2)
}

/// `n_decoder_bytes` is what the decoder holds beside its output, in bytes per pixel.
fn decode(
    name: &str,
    decoder: impl ImageDecoder,
    options: &ReadOptions,
    n_file_bytes: usize,
    most_per_byte: usize,
    n_decoder_bytes: usize,
) -> Result<Decoded, String> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    check_length(n_file_bytes, width * height, most_per_byte)?;
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

fn explain(name: &str, error: ImageError) -> String {
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
