//! JPEG, by the decoder inside `image`: `image` itself takes truncated files without a word, and copies the file.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::canvas::{Canvas, Decoded, Depth, Meaning, Shape};
use super::jpeg_segments::{Coding, Segments};
use super::limits::{check_length, check_memory, check_size, zeros};
use super::options::ReadOptions;

/// A block of 64 pixels has a bit at least; the end of a band's run may stand for more, once the first scan is there.
const MOST_PER_BYTE: usize = 64 * 8;

pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    // Even the strict decoder makes up the last blocks of a file that is truncated within them.
    if !has_end_of_image(bytes) {
        return Err("the JPEG file is truncated".into());
    }
    let segments = Segments::read(bytes)?;
    let frame = &segments.frame;
    match frame.coding {
        Coding::Sequential | Coding::Progressive => {}
        Coding::Arithmetic => return Err(unread("with arithmetic coding")),
        Coding::Lossless => return Err(unread("without loss")),
        Coding::Hierarchical => return Err(unread("in a hierarchy of sizes")),
    }
    if frame.bits != 8 {
        return Err(unread(&format!("of {} bits", frame.bits)));
    }
    let n_channels = match frame.components.len() {
        1 => 1,
        3 | 4 => 3,
        n => return Err(unread(&format!("of {n} components"))),
    };
    let (width, height) = (frame.width, frame.height);
    check_size(width, height)?;
    check_length(bytes.len(), width * height, MOST_PER_BYTE)?;
    check_memory(width * height * n_channels + frame.n_decoder_bytes())?;

    let clean = segments.without_stray_bytes(bytes);
    let color = if n_channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let decoder_options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(color);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&*clean), decoder_options);
    let explain = |error: zune_jpeg::errors::DecodeErrors| format!("damaged JPEG: {error}");
    decoder.decode_headers().map_err(explain)?;
    if decoder.dimensions() != Some((width, height)) {
        return Err("damaged JPEG: its size is not clear".into());
    }
    let mut samples = zeros(width * height * n_channels)?;
    decoder.decode_into(&mut samples).map_err(explain)?;
    let meaning = if n_channels == 1 { Meaning::Gray } else { Meaning::Rgb };
    let shape = Shape { width, height, n_channels, meaning, has_alpha: false, depth: Depth::Byte };
    Canvas::whole(shape, options, samples)
}

fn unread(kind: &str) -> String {
    format!("a JPEG {kind} is not read: convert the file to another JPEG or PNG")
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
