//! What one image may take: pixels, bytes of memory, bytes of the file.

use plugin_api::DecodingScope;

/// Images with more pixels are refused: a file of a few kilobytes can claim to hold terabytes.
///
/// About 134 million. Pillow warns above 89 million, and raises an error above 179 million.
pub const MAX_PIXELS: usize = 1 << 27;

/// The most bytes that decoding one image holds at once: the image, and what its decoder needs beside it.
///
/// The bytes of the file come on top, of which there are as many at most.
pub const MAX_DECODING_BYTES: usize = 512 << 20;

/// Larger files are refused.
pub(crate) const MAX_FILE_BYTES: u64 = 512 << 20;

/// Fails for an image without pixels, and for one with too many.
pub(super) fn check_size(width: usize, height: usize) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("it has no pixels ({width} x {height})"));
    }
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(format!("{width} x {height} pixels are more than the limit of {MAX_PIXELS}"));
    }
    Ok(())
}

/// Tables, windows and rows, which no decoder counts.
const SMALL_THINGS_BYTES: usize = 4 << 20;

/// Fails if decoding would hold more than it may at once. Waits while other threads hold too much.
pub(super) fn check_memory(n_bytes: usize) -> Result<(), String> {
    if n_bytes > MAX_DECODING_BYTES - SMALL_THINGS_BYTES {
        return Err(format!(
            "decoding it takes {n_bytes} bytes, more than the limit of {MAX_DECODING_BYTES}"
        ));
    }
    DecodingScope::count_decoding(n_bytes);
    Ok(())
}

/// Fails if a file is too short for the `n_values` that its header promises.
///
/// `most_per_byte` is how many a byte of the file can stand for at best. Memory is taken after this check.
pub(super) fn check_length(n_file_bytes: usize, n_values: usize, most_per_byte: usize) -> Result<(), String> {
    if n_file_bytes.saturating_mul(most_per_byte) < n_values {
        return Err(format!(
            "the file is truncated: its {n_file_bytes} bytes cannot hold an image of its size"
        ));
    }
    Ok(())
}

/// `n` zeros, or an error if there is no memory for them.
pub(super) fn zeros(n: usize) -> Result<Vec<u8>, String> {
    let mut values = Vec::new();
    values.try_reserve_exact(n).map_err(|_| format!("there is no memory for its {n} bytes"))?;
    values.resize(n, 0);
    Ok(values)
}
