//! Paths as bytes, and as text that keeps different paths apart.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The bytes of `name`, from which [`path_of`] makes the same name again.
///
/// `None` for a name that is no text on a system where names should be text.
#[cfg(unix)]
pub(crate) fn bytes_of(name: &OsStr) -> Option<&[u8]> {
    Some(std::os::unix::ffi::OsStrExt::as_bytes(name))
}

/// The bytes of `name`, from which [`path_of`] makes the same name again.
///
/// `None` for a name that is no text on a system where names should be text.
#[cfg(not(unix))]
pub(crate) fn bytes_of(name: &OsStr) -> Option<&[u8]> {
    name.to_str().map(str::as_bytes)
}

/// The path of which `bytes` are the bytes.
#[cfg(unix)]
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes).into()
}

/// The path of which `bytes` are the bytes.
#[cfg(not(unix))]
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// `path` as one line of text: what is no text, and control characters, are written as `\x0a`.
///
/// Two different paths never give the same text: where a path itself has `\x` in it, its backslashes are written so
/// too.
pub(crate) fn shown(path: &[u8]) -> String {
    let is_plain = |text: &str| !text.chars().any(char::is_control) && !text.contains("\\x");
    if let Ok(text) = std::str::from_utf8(path)
        && is_plain(text)
    {
        return text.to_owned();
    }
    let mut text = String::with_capacity(path.len() + 16);
    let escape = |text: &mut String, bytes: &[u8]| {
        bytes.iter().for_each(|byte| *text += &format!("\\x{byte:02x}"));
    };
    for chunk in path.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() || letter == '\\' {
                escape(&mut text, letter.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(letter);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// [`shown`] for a path of the system.
pub(crate) fn shown_path(path: &Path) -> String {
    bytes_of(path.as_os_str()).map_or_else(|| path.display().to_string(), shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_names_never_become_one() {
        let names: [&[u8]; 10] = [
            b"a.jpg",
            b"a\xff.jpg",
            b"a\\xff.jpg",
            b"a\\x5cxff.jpg",
            b"a\\.jpg",
            b"a\n.jpg",
            b"a\\x0a.jpg",
            b"a .jpg",
            "ä.jpg".as_bytes(),
            "a\u{85}.jpg".as_bytes(),
        ];
        let shown: Vec<String> = names.iter().map(|name| shown(name)).collect();
        let expected = [
            "a.jpg",
            "a\\xff.jpg",
            "a\\x5cxff.jpg",
            "a\\x5cx5cxff.jpg",
            "a\\.jpg",
            "a\\x0a.jpg",
            "a\\x5cx0a.jpg",
            "a .jpg",
            "ä.jpg",
            "a\\xc2\\x85.jpg",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_path_survives() {
        for path in ["a/b.png", "ä", "."] {
            let path = Path::new(path);
            assert_eq!(path_of(bytes_of(path.as_os_str()).unwrap()), path);
        }
    }
}
