//! How a pack lies on the disk.
//!
//! ```text
//! head      "MOCOPACK", version (u32), 0 (u32)
//! images    one after another: the bytes of a file, or (H, W, C) bytes of pixels
//! names     UTF-8, one after another
//! index     a `Record` for each image: training images first
//! meta      `Meta` as JSON
//! end       an `End`
//! ```
//!
//! Numbers are little-endian. What is needed to open a pack lies at its end, so it is written in one pass.

use plugin_api::{ConfigError, MAX_CHANNELS, Split};

use crate::decode::ReadOptions;

/// The first and the last bytes of a pack.
pub(super) const MAGIC: [u8; 8] = *b"MOCOPACK";

/// Packs of other versions are refused.
pub(super) const VERSION: u32 = 1;

/// Bytes before the first image.
pub(super) const HEAD_BYTES: usize = 16;

/// The first bytes of a pack.
pub(super) fn head() -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes
}

/// What the images of a pack are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Encoding {
    /// The bytes of the image files.
    Files,
    /// Pixels, decoded.
    Pixels,
}

/// What is known of a pack as a whole.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Meta {
    pub(super) encoding: Encoding,
    /// Of decoded pixels; files say it themselves.
    pub(super) channels: usize,
    pub(super) n_train: usize,
    pub(super) n_test: usize,
    pub(super) class_names: Vec<String>,
    /// How files become images, in RON, where that is not the default. Packs of before have it not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) read: Option<String>,
    /// Where the images are from, in words.
    pub(super) source: String,
    /// The program that wrote it.
    pub(super) made_by: String,
}

impl Meta {
    /// What is wrong with it, if `n_records` are in the index.
    pub(super) fn check(&self, n_records: usize) -> Result<(), String> {
        if self.n_train.checked_add(self.n_test) != Some(n_records) {
            return Err(format!(
                "it says that it has {} and {} images, but {n_records} are listed",
                self.n_train, self.n_test
            ));
        }
        self.check_images()
    }

    /// What is wrong with what it says of its images.
    pub(super) fn check_images(&self) -> Result<(), String> {
        if !(1..=MAX_CHANNELS).contains(&self.channels) {
            return Err(format!("it says that its images have {} channels", self.channels));
        }
        self.read_options().map(drop)
    }

    /// How files become images.
    pub(super) fn read_options(&self) -> Result<ReadOptions, String> {
        options_of(self.read.as_deref())
            .map_err(|error| format!("it says that its images are read as {:?}: {error}", self.read))
    }

    /// Channels of the images.
    pub(super) fn n_channels(&self, read: &ReadOptions) -> usize {
        match self.encoding {
            Encoding::Files => read.channels(),
            Encoding::Pixels => self.channels,
        }
    }

    pub(super) fn n_images(&self, split: Split) -> usize {
        match split {
            Split::Train => self.n_train,
            Split::Test => self.n_test,
        }
    }
}

/// The options that `read` writes, the default ones without it.
pub(super) fn options_of(read: Option<&str>) -> Result<ReadOptions, ConfigError> {
    let Some(read) = read else { return Ok(ReadOptions::default()) };
    let options: ReadOptions = plugin_api::parse_ron(read)?;
    options.check().map(|()| options)
}

/// The label of an image that has none.
const NO_LABEL: u32 = u32::MAX;

/// One image in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Where its bytes begin.
    pub(super) offset: u64,
    /// How many bytes it has.
    pub(super) len: u32,
    pub(super) label: Option<u32>,
    /// Of decoded pixels, otherwise 0.
    pub(super) width: u32,
    /// Of decoded pixels, otherwise 0.
    pub(super) height: u32,
    /// Where its name ends, counted from the first name. It begins where the one before ends.
    pub(super) name_end: u64,
    /// Of its bytes, [`checksum`].
    pub(super) checksum: u64,
}

impl Record {
    pub(super) const BYTES: usize = 40;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.label.unwrap_or(NO_LABEL).to_le_bytes());
        bytes[16..20].copy_from_slice(&self.width.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.height.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.name_end.to_le_bytes());
        bytes[32..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    pub(super) fn of_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("a record has 40 bytes"));
        let double =
            |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("a record has 40 bytes"));
        let label = word(12);
        Self {
            offset: double(0),
            len: word(8),
            label: (label != NO_LABEL).then_some(label),
            width: word(16),
            height: word(20),
            name_end: double(24),
            checksum: double(32),
        }
    }
}

/// The last bytes of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) names_offset: u64,
    pub(super) index_offset: u64,
    pub(super) meta_offset: u64,
    /// Of index, meta and the three places, [`hash`].
    pub(super) hash: [u8; 32],
}

impl End {
    pub(super) const BYTES: usize = 64;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.names_offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.index_offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.meta_offset.to_le_bytes());
        bytes[24..56].copy_from_slice(&self.hash);
        bytes[56..].copy_from_slice(&MAGIC);
        bytes
    }

    /// `None` if these are not the last bytes of a pack.
    pub(super) fn of_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let place = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("an end has 64 bytes"));
        (bytes[56..] == MAGIC).then(|| Self {
            names_offset: place(0),
            index_offset: place(8),
            meta_offset: place(16),
            hash: *bytes[24..].first_chunk().expect("an end has 64 bytes"),
        })
    }
}

/// What the bytes of an image are checked with.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}

/// What index, meta and places are checked with.
pub(super) fn hash(index: &[u8], meta: &[u8], places: [u64; 3]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(index).update(meta);
    for place in places {
        hasher.update(&place.to_le_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let record = Record {
            offset: 1 << 40,
            len: 7,
            label: Some(3),
            width: 11,
            height: 13,
            name_end: 17,
            checksum: u64::MAX,
        };
        assert_eq!(Record::of_bytes(&record.to_bytes()), record);
        let without = Record { label: None, ..record };
        assert_eq!(Record::of_bytes(&without.to_bytes()), without);
        let end = End { names_offset: 1, index_offset: 2, meta_offset: 3, hash: [4; 32] };
        assert_eq!(End::of_bytes(&end.to_bytes()), Some(end));
        assert_eq!(End::of_bytes(&[0; End::BYTES]), None);
    }
}
