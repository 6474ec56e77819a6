//! Image files become bytes of pixels.
//!
//! The content decides, not the name. [`ReadOptions`] say what is taken of a file; without any, an image is what
//! `Image.open(path).convert("RGB")` gives in Pillow, which torchvision uses. The exceptions are in the book's chapter
//! "Your own images", and in the tests that compare the two.
//!
//! A decoder gives rows to a `Canvas`, which takes the channels that are asked for and scales them. Nothing is allocated
//! before the size is checked against the limits, and against what a file of its length can hold.

mod canvas;
mod file;
mod format;
mod gif;
mod header;
mod ico;
mod jpeg;
mod jpeg_segments;
#[cfg(feature = "jxl")]
mod jxl;
mod limits;
mod notes;
#[cfg(feature = "npy")]
mod npy;
mod options;
mod orientation;
mod png;
mod pnm;
mod through_image;
mod tiff;
mod tiff_colors;
mod tiff_header;
mod unreadable;
mod webp;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use plugin_api::{ByteImage, DecodingScope, UnreadableImage};

use self::canvas::Decoded;
pub(crate) use self::file::{read_beginning, read_file, read_up_to};
pub(crate) use self::format::{EXTENSIONS, begins_like_image};
use self::format::{Format, format_of};
pub use self::header::{ImageHeader, image_header};
pub(crate) use self::limits::MAX_FILE_BYTES;
pub use self::limits::{MAX_DECODING_BYTES, MAX_PIXELS};
pub(crate) use self::notes::{Looked, notes};
pub use self::options::{Orientation, ReadOptions};
pub(crate) use self::unreadable::Look;
pub use self::unreadable::{Decode, notes_as_read};

/// Decodes an image file.
///
/// # Errors
/// If the file cannot be read, is not an image, is damaged or truncated, is too large, or has not the channels or values
/// that the options need.
pub fn decode_file(path: &Path, options: &ReadOptions) -> Result<ByteImage, UnreadableImage> {
    let _scope = DecodingScope::begin();
    let decoded = decode_bytes(&read_image_file(path)?, options);
    decoded.map_err(|reason| UnreadableImage { name: path.display().to_string(), reason })
}

/// The bytes of an image file.
///
/// # Errors
/// If it is not a regular file, is too large, or cannot be read.
pub fn read_image_file(path: &Path) -> Result<Vec<u8>, UnreadableImage> {
    read_file(path).map_err(|reason| UnreadableImage { name: path.display().to_string(), reason })
}

/// Decodes the bytes of an image file.
///
/// # Errors
/// The reason, as for [`decode_file`].
pub fn decode_bytes(bytes: &[u8], options: &ReadOptions) -> Result<ByteImage, String> {
    decode(bytes, options).map(|decoded| decoded.image)
}

/// The name of the format that the bytes of a file are in, by its first ones: `JPEG`, `PNG`; `None` for one that is not read.
pub fn format_name(bytes: &[u8]) -> Option<&'static str> {
    format_of(bytes).ok().map(Format::name)
}

fn decode(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let _scope = DecodingScope::begin();
    DecodingScope::count_file(bytes.len());
    let format = format_of(bytes)?;
    let decoded = guarded(format.name(), || decode_as(format, bytes, options));
    // Reasons are listed one a line, and some decoders have longer ones.
    decoded.map_err(|reason| reason.trim_end().replace('\n', " "))
}

/// What `decode` gives for a file of `format`. The decoders are other people's: one that panics over a damaged file has no more
/// to say than one that fails.
pub(crate) fn guarded<T>(format: &str, decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let _decoding = Decoding::begin();
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    decoded.unwrap_or_else(|_| Err(format!("damaged {format}: its decoder gave up")))
}

thread_local! {
    static IS_DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread decodes an image: a panic is then that of a decoder over a damaged file, and no bug of this program.
pub fn is_decoding() -> bool {
    IS_DECODING.get()
}

struct Decoding;

impl Decoding {
    fn begin() -> Self {
        IS_DECODING.set(true);
        Self
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        IS_DECODING.set(false);
    }
}

fn decode_as(format: Format, bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let decoded = match format {
        Format::Jpeg => jpeg::decode(bytes, options)?,
        Format::Png => png::decode(bytes, options)?,
        Format::Tiff => tiff::decode(bytes, options)?,
        Format::Gif => gif::decode(bytes, options)?,
        Format::WebP => through_image::webp(bytes, options)?,
        Format::Bmp => through_image::bmp(bytes, options)?,
        Format::Dib => through_image::dib(bytes, options)?,
        Format::Pnm => pnm::decode(bytes, options)?,
        Format::Qoi => through_image::qoi(bytes, options)?,
        Format::Ico => ico::decode(bytes, options)?,
        Format::Tga => through_image::tga(bytes, options)?,
        #[cfg(feature = "jxl")]
        Format::Jxl => jxl::decode(bytes, options)?,
        #[cfg(feature = "npy")]
        Format::Npy => npy::decode(bytes, options)?,
    };
    match options.orientation {
        Orientation::Ignore => Ok(decoded),
        Orientation::Exif => orientation::turned(decoded, orientation::orientation_of(bytes, format)),
    }
}
