//! What is kept of one image.

use plugin_api::{ByteImage, Images, UnreadableImage};

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

/// Exact: sums of bytes and of their squares are whole numbers.
fn moments(image: &ByteImage) -> Vec<(f64, f64)> {
    let mut sums = vec![(0_u64, 0_u64); image.channels];
    for pixel in image.values.chunks_exact(image.channels) {
        for (sum, &value) in sums.iter_mut().zip(pixel) {
            *sum = (sum.0 + u64::from(value), sum.1 + u64::from(value).pow(2));
        }
    }
    let n = (image.width * image.height) as f64;
    sums.into_iter().map(|(sum, square)| (sum as f64 / n / 255.0, square as f64 / n / 65025.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_each_channel() {
        let image = ByteImage { width: 2, height: 1, channels: 2, values: vec![0, 51, 255, 51] };
        let found = moments(&image);
        for ((mean, square), (expected, expected_square)) in found.into_iter().zip([(0.5, 0.5), (0.2, 0.04)])
        {
            assert!((mean - expected).abs() < 1e-12 && (square - expected_square).abs() < 1e-12);
        }
    }
}
