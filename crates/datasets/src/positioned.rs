//! Reads at a place of a file, from many threads at once.

use std::fs::File;
use std::io::{Error, ErrorKind};

/// Fills `bytes` from place `offset` of `file`. The file's own position does not matter, and no thread waits for another.
///
/// # Errors
/// If the file ends before, or cannot be read.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Fills `bytes` from place `offset` of `file`.
///
/// # Errors
/// If the file ends before, or cannot be read.
#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                bytes = &mut bytes[n..];
                offset += n as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// As many bytes as `n`, if memory can be had for them.
///
/// # Errors
/// If memory is short: a file may claim any length.
pub(crate) fn buffer(n: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(n)
        .map_err(|_| Error::new(ErrorKind::OutOfMemory, format!("there is no memory for its {n} bytes")))?;
    bytes.resize(n, 0);
    Ok(bytes)
}
