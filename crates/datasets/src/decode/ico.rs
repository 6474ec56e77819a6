//! ICO: the largest image of those in the file, which is a PNG or a bitmap.

use std::io::Cursor;

use image::codecs::ico::IcoDecoder;

use super::canvas::Decoded;
use super::options::ReadOptions;
use super::{png, through_image};

const HEADER_LEN: usize = 6;
const ENTRY_LEN: usize = 16;

pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let n_entries = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
    let entries = bytes[HEADER_LEN..].chunks_exact(ENTRY_LEN).take(n_entries);
    // Of several of one size, Pillow takes the one with the fewest colors.
    let order = |entry: &&[u8]| (area(entry), std::cmp::Reverse(u16::from_le_bytes([entry[6], entry[7]])));
    let best = entries.rev().max_by_key(order).ok_or("damaged ICO: it has no image")?;
    let number =
        |at: usize| u32::from_le_bytes([best[at], best[at + 1], best[at + 2], best[at + 3]]) as usize;
    let (length, start) = (number(8), number(12));
    let image =
        start.checked_add(length).and_then(|end| bytes.get(start..end)).ok_or("the ICO file is truncated")?;
    if image.starts_with(b"\x89PNG") {
        return png::decode(image, options);
    }
    let new_start = (HEADER_LEN + ENTRY_LEN) as u32;
    // A file with this image alone, because the decoder has an order of its own.
    let alone = [&[0, 0, 1, 0, 1, 0], &best[..12], &new_start.to_le_bytes(), image].concat();
    let decoder =
        IcoDecoder::new(Cursor::new(&*alone)).map_err(|error| through_image::explain("ICO", error))?;
    through_image::check_bits(&decoder, alone.len(), 1)?;
    through_image::decode("ICO", decoder, options, 0)
}

/// Pixels of an entry; 0 stands for a side of 256.
fn area(entry: &[u8]) -> usize {
    let side = |byte: u8| if byte == 0 { 256 } else { usize::from(byte) };
    side(entry[0]) * side(entry[1])
}
