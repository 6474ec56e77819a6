//! PNG, row by row. Of an animation the first image is taken.

use std::borrow::Cow;
use std::io::Cursor;
use std::ops::Range;

use png::{BitDepth, ColorType, DecodingError, Limits, Transformations};

use super::canvas::{Canvas, Decoded, Depth, Meaning, Part, Place, Shape};
use super::limits::check_length;
use super::options::ReadOptions;

/// Rows, of which the decoder keeps a few, and chunks beside the pixels. Color profiles and texts are not unpacked.
const MAX_BESIDE_BYTES: usize = 96 << 20;

/// Rows that the decoder keeps, as they are in the file and as they become.
const KEPT_ROWS: usize = 8;

/// What Deflate can do at best.
const MOST_PER_BYTE: usize = 1032;

const SIGNATURE_LEN: usize = 8;
const LAST_CHUNK: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];

pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let chunks = Chunks::read(bytes)?;
    // Pillow needs no chunk after the pixels; the decoder does.
    let whole: Cow<'_, [u8]> = match chunks.has_end {
        true => bytes.into(),
        false => [&bytes[..chunks.end_of_pixels], &LAST_CHUNK].concat().into(),
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(&*whole), Limits { bytes: MAX_BESIDE_BYTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(explain)?;
    let (color, depth) = reader.output_color_type();
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    let n_channels = color.samples();
    let shape = Shape {
        width,
        height,
        n_channels,
        meaning: if n_channels < 3 { Meaning::Gray } else { Meaning::Rgb },
        has_alpha: matches!(color, ColorType::GrayscaleAlpha | ColorType::Rgba),
        depth: if depth == BitDepth::Sixteen { Depth::Word } else { Depth::Byte },
    };
    let is_interlaced = info.interlaced;
    let bits_in_file = info.bits_per_pixel();
    check_length(bytes.len(), width.saturating_mul(height).saturating_mul(bits_in_file) / 8, MOST_PER_BYTE)?;
    let n_pixel_bytes = n_channels * usize::from(depth as u8) / 8;
    let n_beside = width.saturating_mul(n_pixel_bytes).saturating_mul(KEPT_ROWS).min(MAX_BESIDE_BYTES);
    let mut canvas = Canvas::new(shape, options, n_beside)?;
    if !is_interlaced {
        for y in 0..height {
            let row = next_row(&mut reader, width * n_pixel_bytes)?;
            draw(&mut canvas, shape.depth, Place::row(y), row);
        }
        return canvas.finish();
    }
    for (x0, y0, dx, dy) in PASSES {
        let n_pixels = width.saturating_sub(x0).div_ceil(dx);
        // A pass without columns has no rows either.
        for y in (y0..height).step_by(dy).filter(|_| n_pixels > 0) {
            let row = next_row(&mut reader, n_pixels * n_pixel_bytes)?;
            for (x, pixel) in (x0..).step_by(dx).zip(row.chunks_exact(n_pixel_bytes)) {
                draw(&mut canvas, shape.depth, Place { x, y, part: Part::All }, pixel);
            }
        }
    }
    canvas.finish()
}

/// The next row of the image or of a pass of it.
fn next_row<'a>(reader: &'a mut png::Reader<Cursor<&[u8]>>, n_bytes: usize) -> Result<&'a [u8], String> {
    let row = reader.next_interlaced_row().map_err(explain)?.ok_or("damaged PNG: rows are missing")?;
    if row.data().len() != n_bytes {
        return Err("damaged PNG: a row has another length than the image".into());
    }
    Ok(row.data())
}

/// First column, first row, and steps of the seven passes of an interlaced image (PNG specification, §8.2).
const PASSES: [(usize, usize, usize, usize); 7] =
    [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];

fn draw(canvas: &mut Canvas, depth: Depth, place: Place, row: &[u8]) {
    if depth == Depth::Byte {
        return canvas.bytes(place, row);
    }
    let words: Vec<u16> = row.as_chunks().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect();
    canvas.words(place, &words);
}

/// Where things are in a file.
pub(super) struct Chunks {
    /// The offset behind the last chunk of pixels.
    end_of_pixels: usize,
    has_end: bool,
    /// The EXIF data, if there are any.
    pub(super) exif: Option<Range<usize>>,
    /// Images of an animation; 1 of any other file.
    pub(super) n_frames: u32,
}

impl Chunks {
    /// Fails if a chunk before the end of the pixels is not there as a whole.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut chunks = Self { end_of_pixels: 0, has_end: false, exif: None, n_frames: 1 };
        let mut at = SIGNATURE_LEN;
        while let Some(start) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let [length @ .., a, b, c, d] = *start;
            let data = at + 8..(at + 8).saturating_add(u32::from_be_bytes(length) as usize);
            // Four bytes of a checksum follow.
            let end = data.end.saturating_add(4);
            if end > bytes.len() {
                break;
            }
            match &[a, b, c, d] {
                b"IDAT" => chunks.end_of_pixels = end,
                b"eXIf" => chunks.exif = Some(data),
                b"acTL" => {
                    let count = bytes[data].first_chunk().map_or(1, |&count| u32::from_be_bytes(count));
                    chunks.n_frames = count.max(1);
                }
                b"IEND" => {
                    chunks.has_end = true;
                    break;
                }
                _ => {}
            }
            at = end;
        }
        // What is cut within its pixels has the start of a chunk behind the last whole one.
        let is_cut = !chunks.has_end && bytes.get(at + 4..at + 8) == Some(b"IDAT");
        if chunks.end_of_pixels == 0 || is_cut {
            return Err("the PNG file is truncated".into());
        }
        Ok(chunks)
    }
}

fn explain(error: DecodingError) -> String {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the PNG file is truncated".into()
        }
        DecodingError::LimitsExceeded => "its rows or chunks are longer than the limit".into(),
        error => format!("damaged PNG: {error}"),
    }
}
