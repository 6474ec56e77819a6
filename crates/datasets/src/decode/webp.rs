//! The chunks of a WebP file.

use std::ops::Range;

use super::limits::{check_memory, check_size};

/// Fails if the image, or one within an animation, is larger than may be: each says its own size.
pub(super) fn check_frames(bytes: &[u8]) -> Result<(), String> {
    for (name, data) in chunks(bytes, 12..bytes.len()) {
        check_frame(name, &bytes[data.clone()])?;
        if name == b"ANMF" && data.len() > 16 {
            for (name, data) in chunks(bytes, data.start + 16..data.end) {
                check_frame(name, &bytes[data])?;
            }
            // Of an animation, no other image is decoded.
            break;
        }
    }
    Ok(())
}

fn check_frame(name: &[u8], data: &[u8]) -> Result<(), String> {
    let size = |at: usize| {
        let pair = data.get(at..at + 2)?.try_into().ok()?;
        Some(usize::from(u16::from_le_bytes(pair) & 0x3fff))
    };
    if name == b"VP8 "
        && let (Some(width), Some(height)) = (size(6), size(8))
    {
        check_size(width, height)?;
        // Luma, chroma, the image and its composition.
        check_memory(width * height * 9)?;
    }
    Ok(())
}

/// Width and height, from the first chunk.
pub(super) fn size(bytes: &[u8]) -> Option<(usize, usize)> {
    let (name, data) = chunks(bytes, 12..bytes.len()).next()?;
    let byte = |at: usize| bytes[data.clone()].get(at).map(|&byte| usize::from(byte));
    match name {
        b"VP8X" => {
            let side = |at: usize| Some(1 + byte(at)? + (byte(at + 1)? << 8) + (byte(at + 2)? << 16));
            Some((side(4)?, side(7)?))
        }
        b"VP8L" => {
            let bits = byte(1)? | byte(2)? << 8 | byte(3)? << 16 | byte(4)? << 24;
            Some((1 + (bits & 0x3fff), 1 + (bits >> 14 & 0x3fff)))
        }
        b"VP8 " => {
            let side = |at: usize| Some((byte(at)? | byte(at + 1)? << 8) & 0x3fff);
            Some((side(6)?, side(8)?))
        }
        _ => None,
    }
}

/// The EXIF data, if there are any.
pub(super) fn exif(bytes: &[u8]) -> Option<Range<usize>> {
    chunks(bytes, 12..bytes.len()).find(|(name, _)| *name == b"EXIF").map(|(_, data)| data)
}

/// How many images an animation has; none if it is no animation.
pub(super) fn n_frames(bytes: &[u8]) -> usize {
    chunks(bytes, 12..bytes.len()).filter(|(name, _)| *name == b"ANMF").count()
}

/// Names and contents of the chunks in a range of a file. Of a last one that is cut short, what there is.
fn chunks(bytes: &[u8], within: Range<usize>) -> impl Iterator<Item = (&[u8], Range<usize>)> {
    let mut at = within.start;
    std::iter::from_fn(move || {
        let header: &[u8; 8] = bytes.get(at..within.end)?.first_chunk()?;
        let [_, _, _, _, length @ ..] = *header;
        let end = (at + 8).checked_add(u32::from_le_bytes(length) as usize)?;
        let data = at + 8..end.min(within.end);
        // Chunks have an even length.
        at = end.checked_next_multiple_of(2)?;
        Some((&header[..4], data))
    })
}
