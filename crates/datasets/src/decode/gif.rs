//! GIF: the first image, on its background.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, DecodingError};

use super::canvas::{Canvas, Decoded, Place, Shape};
use super::limits::{check_length, check_memory, zeros};
use super::options::ReadOptions;

/// A code of 12 bits stands for a string of at most 4096 pixels.
const MOST_PER_BYTE: usize = 4096 * 8 / 12;

/// A larger screen needs a file that could fill it. A smaller one may be bare around a small image.
const MAX_BARE_PIXELS: usize = 1 << 22;

pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let mut gif_options = DecodeOptions::new();
    gif_options.set_color_output(ColorOutput::Indexed);
    let mut decoder = gif_options.read_info(Cursor::new(bytes)).map_err(explain)?;
    let Some(frame) = decoder.next_frame_info().map_err(explain)? else {
        return Err("damaged GIF: it has no image".into());
    };
    let [left, top, frame_width, frame_height] =
        [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    let background = frame.transparent.unwrap_or(0);
    let local_palette = frame.palette.clone();
    let n_indices = frame_width * frame_height;
    check_length(bytes.len(), n_indices, MOST_PER_BYTE)?;
    check_memory(n_indices)?;
    // A frame may reach beyond the screen, as it does in Pillow.
    let width = usize::from(decoder.width()).max(left + frame_width);
    let height = usize::from(decoder.height()).max(top + frame_height);
    if width * height > MAX_BARE_PIXELS {
        check_length(bytes.len(), width * height, MOST_PER_BYTE)?;
    }
    let mut canvas = Canvas::new(Shape::rgb(width, height), options, n_indices)?;
    let mut indices = zeros(n_indices)?;
    decoder.read_into_buffer(&mut indices).map_err(explain)?;

    let palette = local_palette.as_deref().or(decoder.global_palette());
    let colors: &[[u8; 3]] = palette.unwrap_or_default().as_chunks().0;
    let color = |index: u8| colors.get(usize::from(index)).copied().unwrap_or([0; 3]);
    let mut row: Vec<u8> = Vec::new();
    for y in 0..height {
        row.clear();
        let drawn = y.checked_sub(top).and_then(|y| indices.chunks_exact(frame_width.max(1)).nth(y));
        for x in 0..width {
            let index = drawn.and_then(|drawn| drawn.get(x.checked_sub(left)?));
            row.extend(color(*index.unwrap_or(&background)));
        }
        canvas.bytes(Place::row(y), &row);
    }
    canvas.finish()
}

/// How many images a file has, those that are not damaged.
pub(super) fn n_frames(bytes: &[u8]) -> usize {
    let mut options = DecodeOptions::new();
    options.skip_frame_decoding(true);
    let Ok(mut decoder) = options.read_info(Cursor::new(bytes)) else { return 0 };
    std::iter::from_fn(|| decoder.next_frame_info().ok().flatten().map(|_| ())).count()
}

fn explain(error: DecodingError) -> String {
    match error {
        DecodingError::UnexpectedEof => "the GIF file is truncated".into(),
        DecodingError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the GIF file is truncated".into()
        }
        error => format!("damaged GIF: {error}"),
    }
}
