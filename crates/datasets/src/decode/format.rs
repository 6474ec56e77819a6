//! Which format a file has.

/// Files with other extensions are no images. A list may name files of any extension.
pub(crate) const EXTENSIONS: &[&str] = &[
    "jpg",
    "jpeg",
    "jpe",
    "jfif",
    "mpo",
    "png",
    "apng",
    "bmp",
    "dib",
    "gif",
    "webp",
    "tif",
    "tiff",
    "ppm",
    "pgm",
    "pbm",
    "pnm",
    "pam",
    "tga",
    "qoi",
    "ico",
    #[cfg(feature = "jxl")]
    "jxl",
    #[cfg(feature = "npy")]
    "npy",
];

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
    Tiff,
    Gif,
    WebP,
    Bmp,
    /// BMP without the header of a file.
    Dib,
    Pnm,
    Qoi,
    Ico,
    Tga,
    #[cfg(feature = "jxl")]
    Jxl,
    #[cfg(feature = "npy")]
    Npy,
}

impl Format {
    /// As people write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Dib => "DIB",
            Self::Pnm => "PNM",
            Self::Qoi => "QOI",
            Self::Ico => "ICO",
            Self::Tga => "TGA",
            #[cfg(feature = "jxl")]
            Self::Jxl => "JPEG XL",
            #[cfg(feature = "npy")]
            Self::Npy => "NumPy",
        }
    }
}

/// The format of a file, from its first bytes.
///
/// # Errors
/// If it is none of ours: the reason says which format it is, where that is known, and what to do.
pub(super) fn format_of(bytes: &[u8]) -> Result<Format, String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    if let Some(format) = by_signature(bytes) {
        return Ok(format);
    }
    if let Some(name) = foreign(bytes) {
        return Err(format!("{name} is not read: {}", what_to_do(name)));
    }
    if let Some(what) = in_place_of_an_image(bytes) {
        return Err(what.into());
    }
    // It has no signature, so that it comes last.
    if is_tga(bytes) {
        return Ok(Format::Tga);
    }
    Err("the file has no supported image format".into())
}

/// Whether a file begins like an image that is read.
pub(crate) fn begins_like_image(bytes: &[u8]) -> bool {
    by_signature(bytes).is_some()
}

fn by_signature(bytes: &[u8]) -> Option<Format> {
    let tiff: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Format::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
        [b'B', b'M', ..] => Some(Format::Bmp),
        _ if is_dib(bytes) => Some(Format::Dib),
        [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..] => Some(Format::Pnm),
        [b'q', b'o', b'i', b'f', ..] => Some(Format::Qoi),
        #[cfg(feature = "jxl")]
        _ if is_jxl(bytes) => Some(Format::Jxl),
        #[cfg(feature = "npy")]
        _ if bytes.starts_with(NPY_START) => Some(Format::Npy),
        [0, 0, 1, 0, n_low, n_high, ..] if (*n_low, *n_high) != (0, 0) => Some(Format::Ico),
        _ if tiff.iter().any(|start| bytes.starts_with(start)) => Some(Format::Tiff),
        _ => None,
    }
}

const JXL: &str = "JPEG XL";
const NPY: &str = "a NumPy array";
const NPY_START: &[u8] = b"\x93NUMPY";

fn is_jxl(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\x0a") || bytes.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n")
}

/// Whether the header makes sense as one of a BMP file without its first 14 bytes.
fn is_dib(bytes: &[u8]) -> bool {
    let word = |at: usize| bytes.get(at..at + 2).map_or(0, |word| u16::from_le_bytes([word[0], word[1]]));
    let fits = |at: usize| word(at) == 1 && matches!(word(at + 2), 1 | 2 | 4 | 8 | 16 | 24 | 32);
    match bytes {
        [12, 0, 0, 0, ..] => fits(8),
        [40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0, ..] => fits(12),
        _ => false,
    }
}

/// What came in place of an image, where that is known: what was to fetch the image, or what a server had to say.
fn in_place_of_an_image(bytes: &[u8]) -> Option<&'static str> {
    const LFS: &str = "a Git LFS pointer: the image itself has not been fetched (`git lfs pull`)";
    const ANNEX: &str = "a git-annex pointer: the image itself has not been fetched (`git annex get`)";
    const HTML: &str = "an HTML page and no image: probably what a server answered instead of it";
    const XML: &str = "an XML text and no image: probably what a server answered instead of it";
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).trim_ascii_start();
    let begins = |start: &str| {
        text.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start.as_bytes()))
    };
    let starts = [
        ("version https://git-lfs.github.com/spec/", LFS),
        ("version https://hawser.github.com/spec/", LFS),
        ("/annex/objects/", ANNEX),
        ("<!doctype html", HTML),
        ("<html", HTML),
        ("<?xml", XML),
    ];
    if let Some((_, what)) = starts.iter().find(|(start, _)| begins(start)) {
        return Some(what);
    }
    let first_line = text.split(|&byte| byte == b'\n').next().unwrap_or(text);
    let annex = b".git/annex/objects/";
    let is_annex = first_line.len() < 1024 && first_line.windows(annex.len()).any(|window| window == annex);
    is_annex.then_some(ANNEX)
}

fn what_to_do(name: &str) -> &'static str {
    match name {
        JXL => "convert the file to PNG or JPEG, or build with the feature `jxl`",
        NPY => "convert the file to PNG or TIFF, or build with the feature `npy`",
        _ => "convert the file to PNG or JPEG",
    }
}

/// The name of a format that people have images in, and that is not read.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(match bytes.get(8..12)? {
            b"avif" | b"avis" => "AVIF",
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"mif1" | b"msf1" => "HEIC",
            b"crx " => "Canon's raw format",
            _ => "a film or an image of the ISO media format",
        });
    }
    if is_jxl(bytes) {
        return Some(JXL);
    }
    let starts: [(&[u8], &str); 19] = [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (NPY_START, NPY),
        (b"8BPS", "Photoshop's format"),
        (b"%PDF", "PDF"),
        (b"\x76\x2f\x31\x01", "OpenEXR"),
        (b"DDS ", "DDS"),
        (b"icns", "ICNS"),
        (b"PF\n", "PFM"),
        (b"Pf\n", "PFM"),
        (b"\x01\xda\x00", "SGI's format"),
        (b"\x01\xda\x01", "SGI's format"),
        (b"#?RADIANCE", "Radiance HDR"),
        (b"SIMPLE  =", "FITS"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"PK\x03\x04", "a zip file in place of an image"),
        (b"\x1f\x8b", "a gzip file in place of an image"),
        (b"<svg", "SVG"),
        (b"\x1aE\xdf\xa3", "a film"),
    ];
    if let [10, 0 | 2..=5, 0 | 1, 1 | 2 | 4 | 8, ..] = bytes {
        return Some("PCX");
    }
    if bytes.get(128..132) == Some(b"DICM") {
        return Some("DICOM");
    }
    starts.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| *name)
}

/// Whether the header makes sense as one of TGA, which begins with no signature.
fn is_tga(bytes: &[u8]) -> bool {
    let Some(&[_, has_map, kind, _, _, _, _, map_bits, _, _, _, _, w0, w1, h0, h1, bits, descriptor]) =
        bytes.first_chunk::<18>()
    else {
        return false;
    };
    let has_pixels = (w0, w1) != (0, 0) && (h0, h1) != (0, 0);
    let fits = match kind {
        1 | 9 => has_map == 1 && matches!(map_bits, 15 | 16 | 24 | 32) && bits == 8,
        2 | 10 => has_map <= 1 && matches!(bits, 15 | 16 | 24 | 32),
        3 | 11 => has_map == 0 && matches!(bits, 8 | 16),
        _ => false,
    };
    fits && has_pixels && descriptor & 0xc0 == 0
}
