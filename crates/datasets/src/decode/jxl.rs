//! JPEG XL: the first image, turned as the file says.

use std::io::{Cursor, ErrorKind};

use jxl_oxide::image::BitDepth;
use jxl_oxide::{AllocTracker, FrameBufferSample, JxlImage, JxlThreadPool, PixelFormat};

use super::canvas::{Canvas, Decoded, Depth, Meaning, Place, Shape};
use super::limits::{MAX_DECODING_BYTES, check_memory, check_size};
use super::options::ReadOptions;

/// Float planes of color, alpha and what they are made of, in bytes per pixel.
const DECODER_BYTES: usize = 32;

pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let builder = JxlImage::builder()
        // The images of a batch are decoded side by side already.
        .pool(JxlThreadPool::none())
        .alloc_tracker(AllocTracker::with_limit(MAX_DECODING_BYTES / 2));
    let image = builder.read(Cursor::new(bytes)).map_err(explain)?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    check_size(width, height)?;
    check_memory((width * height).saturating_mul(DECODER_BYTES))?;
    if !image.is_loading_done() {
        return Err(TRUNCATED.into());
    }
    let (n_channels, meaning, has_alpha) = match image.pixel_format() {
        PixelFormat::Gray => (1, Meaning::Gray, false),
        PixelFormat::Graya => (2, Meaning::Gray, true),
        PixelFormat::Rgb => (3, Meaning::Rgb, false),
        PixelFormat::Rgba => (4, Meaning::Rgb, true),
        PixelFormat::Cmyk | PixelFormat::Cmyka => {
            return Err("a JPEG XL of CMYK is not read: convert the file".into());
        }
    };
    let depth = match image.image_header().metadata.bit_depth {
        BitDepth::IntegerSample { bits_per_sample: ..=8 } => Depth::Byte,
        BitDepth::IntegerSample { .. } => Depth::Word,
        BitDepth::FloatSample { bits_per_sample, .. } => Depth::Float(bits_per_sample),
    };
    let n_held = width * height * DECODER_BYTES;
    let shape = Shape { width, height, n_channels, meaning, has_alpha, depth };
    let mut canvas = Canvas::new(shape, options, n_held)?;
    let render = image.render_frame(0).map_err(explain)?;
    let mut stream = render.stream();
    if (stream.width(), stream.height(), stream.channels())
        != (image.width(), image.height(), n_channels as u32)
    {
        return Err("damaged JPEG XL: its image has another size than it says".into());
    }
    let n_row = width * n_channels;
    for y in 0..height {
        let place = Place::row(y);
        match depth {
            Depth::Byte => canvas.bytes(place, &row(&mut stream, n_row)?),
            Depth::Word => canvas.words(place, &row(&mut stream, n_row)?),
            Depth::Integer(_) | Depth::Float(_) => canvas.numbers(place, &row::<f32>(&mut stream, n_row)?),
        }
    }
    canvas.finish()
}

fn row<T: FrameBufferSample + Clone>(
    stream: &mut jxl_oxide::ImageStream<'_>,
    n: usize,
) -> Result<Vec<T>, String> {
    let mut row = vec![T::default(); n];
    match stream.write_to_buffer(&mut row) == n {
        true => Ok(row),
        false => Err(TRUNCATED.into()),
    }
}

/// How many images an animation has.
pub(super) fn n_frames(bytes: &[u8]) -> usize {
    let image = JxlImage::builder().pool(JxlThreadPool::none()).read(Cursor::new(bytes));
    image.map_or(0, |image| image.num_loaded_keyframes())
}

const TRUNCATED: &str = "the JPEG XL file is truncated";

fn explain(error: Box<dyn std::error::Error + Send + Sync>) -> String {
    match error.downcast_ref::<std::io::Error>() {
        Some(error) if error.kind() == ErrorKind::UnexpectedEof => TRUNCATED.into(),
        _ => format!("damaged JPEG XL: {error}"),
    }
}
