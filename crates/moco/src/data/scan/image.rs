//! What is kept of one image.

use plugin_api::{DecodingScope, Images, UnreadableImage};

use super::super::colors::moments;
use super::perceptual;

/// One image, looked at.
pub(super) struct Look {
    pub(super) n_bytes: u64,
    pub(super) format: String,
    /// Of the bytes of its file, or of its pixels if there is no file; `None` if the file cannot be read.
    pub(super) hash: Option<[u8; 16]>,
    pub(super) seen: Result<Seen, UnreadableImage>,
}

/// Of an image that can be read.
pub(super) struct Seen {
    /// `(H, W)`.
    pub(super) size: (usize, usize),
    /// Of each channel, the mean of the values from 0 to 1, and that of their squares.
    pub(super) moments: Vec<(f64, f64)>,
    /// [`perceptual::hash`].
    pub(super) appearance: Option<u64>,
}

impl Look {
    /// Reads image `index` of `images`.
    pub(super) fn at(images: &dyn Images, index: usize) -> Self {
        let _scope = DecodingScope::begin();
        let encoded = match images.encoded(index) {
            Ok(encoded) => encoded,
            Err(error) => {
                return Self { n_bytes: 0, format: "unreadable".into(), hash: None, seen: Err(error) };
            }
        };
        let image = images.load(index);
        let hash = match (&encoded, &image) {
            (Some(bytes), _) => Some(short_hash(bytes)),
            (None, Ok(image)) => Some(short_hash(&image.values)),
            (None, Err(_)) => None,
        };
        Self {
            n_bytes: encoded.as_ref().map_or(0, |bytes| bytes.len() as u64),
            format: match &encoded {
                Some(bytes) => datasets::format_name(bytes).unwrap_or("unknown").into(),
                None => "pixels".into(),
            },
            hash,
            seen: image.map(|image| Seen {
                size: (image.height, image.width),
                moments: moments(&image),
                appearance: perceptual::hash(&image),
            }),
        }
    }
}

fn short_hash(bytes: &[u8]) -> [u8; 16] {
    *blake3::hash(bytes).as_bytes().first_chunk().expect("a hash has 32 bytes")
}
