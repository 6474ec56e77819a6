//! Reads files that others give: regular ones, and no more of them than may be.
//!
//! A pipe waits for its other end, and a device such as `/dev/zero` has none: neither is opened. What the kernel makes up
//! while it is read, such as `/proc/kmsg`, says that it has no bytes, and is taken at its word.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// A regular file that is open.
#[derive(Debug)]
pub struct Opened {
    /// The file, at its beginning.
    pub file: File,
    /// Its length when it was opened. Of a file of 0 bytes nothing is to be read: it could be one that waits.
    pub n_bytes: u64,
}

/// Opens the file at `path` for reading.
///
/// # Errors
/// If it is missing, may not be read, or is no regular file: [`ErrorKind::IsADirectory`] of a folder, and
/// [`ErrorKind::InvalidInput`] of a pipe, a socket or a device.
pub fn open(path: &Path) -> Result<Opened> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is a pipe or a device, not a regular file"));
    }
    let file = File::open(path)?;
    let n_bytes = file.metadata()?.len();
    Ok(Opened { file, n_bytes })
}

/// The bytes of the file at `path`.
///
/// # Errors
/// As [`open`]; if it has more than `limit` bytes ([`ErrorKind::FileTooLarge`]), if there is no memory for them
/// ([`ErrorKind::OutOfMemory`]), or if it cannot be read.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let Opened { file, n_bytes } = open(path)?;
    check(n_bytes, limit)?;
    let mut bytes = Vec::new();
    if n_bytes > 0 {
        let n = usize::try_from(n_bytes).map_err(|_| ErrorKind::OutOfMemory)?;
        bytes.try_reserve_exact(n)?;
        // The file may grow meanwhile.
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        check(bytes.len() as u64, limit)?;
    }
    Ok(bytes)
}

/// The text of the file at `path`, without the mark with which some editors begin a text in UTF-8.
///
/// # Errors
/// As [`read`], and [`ErrorKind::InvalidData`] if it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    let text = String::from_utf8(read(path, limit)?)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is no text in UTF-8: save it as UTF-8"))?;
    match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => Ok(rest.to_owned()),
        None => Ok(text),
    }
}

/// The mark with which some editors begin a text in UTF-8.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// The first `n_bytes` of the file at `path`, or all of a shorter one.
///
/// # Errors
/// As [`open`], or if it cannot be read.
pub fn beginning(path: &Path, n_bytes: usize) -> Result<Vec<u8>> {
    let Opened { file, n_bytes: length } = open(path)?;
    let mut bytes = Vec::new();
    if length > 0 {
        file.take(n_bytes as u64).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn check(n_bytes: u64, limit: u64) -> Result<()> {
    if n_bytes > limit {
        let reason = format!("the file has {n_bytes} bytes, more than the limit of {limit}");
        return Err(Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"abc");
        assert_eq!(beginning(&path, 2).unwrap(), b"ab");
        assert_eq!(beginning(&path, 9).unwrap(), b"abc");
        assert_eq!(open(&path).unwrap().n_bytes, 3);
        let error = read(&path, 2).unwrap_err();
        assert_eq!(error.to_string(), "the file has 3 bytes, more than the limit of 2");
        std::fs::write(&path, "").unwrap();
        assert_eq!(read(&path, 0).unwrap(), b"");
        assert_eq!(read(&folder.path().join("b"), 9).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(read(folder.path(), 9).unwrap_err().kind(), ErrorKind::IsADirectory);
    }

    #[test]
    fn a_text_is_read_without_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "\u{feff}abc").unwrap();
        assert_eq!(read_text(&path, 9).unwrap(), "abc");
        std::fs::write(&path, [0xff, 0xfe, b'a', 0]).unwrap();
        assert_eq!(read_text(&path, 9).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    /// A length that is more than the disk has, and no bytes.
    #[test]
    fn a_hole_of_a_thousand_terabytes_is_no_reason_to_take_so_much_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hole");
        let file = File::create(&path).unwrap();
        // Not every file system has files of this length.
        if file.set_len(1 << 43).is_ok() {
            assert!(read(&path, 1 << 30).is_err());
            assert_eq!(beginning(&path, 4).unwrap(), [0; 4]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for path in [&pipe, &link, Path::new("/dev/zero"), Path::new("/dev/null")] {
            for error in [
                read(path, 9).unwrap_err(),
                read_text(path, 9).unwrap_err(),
                beginning(path, 9).unwrap_err(),
                open(path).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", path.display());
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_kernel_makes_up_has_no_bytes() {
        for path in
            ["/proc/self/status", "/proc/kmsg"].map(Path::new).into_iter().filter(|path| path.exists())
        {
            assert!(read(path, 9).map_or(true, |bytes| bytes.is_empty()), "{}", path.display());
            assert!(beginning(path, 9).map_or(true, |bytes| bytes.is_empty()), "{}", path.display());
        }
    }
}
