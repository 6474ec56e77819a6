//! What the ending of a name tells.

use super::entries::file_name;
use crate::decode::EXTENSIONS;

/// Files that end so are images, in formats that are not read here, or not by every build.
const NOT_READ: [&str; 32] = [
    "3fr", "arw", "avif", "avifs", "bpg", "cr2", "cr3", "dcm", "dds", "dng", "emf", "exr", "fits", "hdr",
    "heic", "heif", "hif", "j2k", "jp2", "jpf", "jpx", "jxl", "nef", "orf", "pcx", "psd", "raf", "rw2",
    "sgi", "svg", "xbm", "xcf",
];

/// The longest ending that is told apart.
const MAX_LETTERS: usize = 12;

/// The ending of the last part of `path` in lower case; empty if there is none, or if it is no word.
pub(crate) fn ending_of(path: &[u8]) -> String {
    let name = file_name(path);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return String::new() };
    let ending = &name[dot + 1..];
    let is_word = ending.len() <= MAX_LETTERS && ending.iter().all(u8::is_ascii_alphanumeric);
    match std::str::from_utf8(ending) {
        Ok(ending) if dot > 0 && is_word => ending.to_ascii_lowercase(),
        _ => String::new(),
    }
}

/// Whether a file of this name is an image that can be read.
pub(crate) fn is_image(path: &[u8]) -> bool {
    let name = file_name(path);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return false };
    let ending = &name[dot + 1..];
    dot > 0 && EXTENSIONS.iter().any(|known| ending.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether `ending` is that of an image in a format that is not read here.
pub(crate) fn is_foreign_image(ending: &str) -> bool {
    // A build with more features reads more of them.
    NOT_READ.binary_search(&ending).is_ok() && !EXTENSIONS.contains(&ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_told_in_any_case() {
        assert!(is_image(b"a/b.JPG") && is_image(b"x.y.jfif") && is_image(b"p.ppm"));
        assert!(!is_image(b"jpg") && !is_image(b"a.jpg/b") && !is_image(b".jpg") && !is_image(b"a.heic"));
        assert_eq!(ending_of(b"a.b/IMG.HEIC"), "heic");
        for none in ["a.b/IMG", ".hidden", "x.", "x.a ending of words", "x.averyveryverylongending"] {
            assert_eq!(ending_of(none.as_bytes()), "", "{none}");
        }
    }

    #[test]
    fn an_ending_is_in_one_list_only() {
        assert!(NOT_READ.is_sorted());
        assert!(EXTENSIONS.iter().all(|ending| !is_foreign_image(ending)));
        assert!(is_foreign_image("heic") && is_foreign_image("avif") && !is_foreign_image("txt"));
    }
}
